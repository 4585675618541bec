package config

import (
	"net/url"
	"strings"
)

// Archive is a place for archives of records, which are put there before retention
// removes them: a directory, or s3://bucket/prefix.
type Archive struct {
	To       string `yaml:"to"`
	Endpoint string `yaml:"endpoint"` // of the object store; left out, it is $AWS_ENDPOINT_URL, else AWS
	Region   string `yaml:"region"`   // left out, it is $AWS_REGION
}

const bucketScheme = "s3://"

func (a *Archive) under(dir string) {
	if a != nil && !strings.HasPrefix(a.To, bucketScheme) {
		a.To = under(dir, a.To)
	}
}

func (v *validation) archive(a *Archive, pulsar *Pulsar) {
	if a == nil {
		return
	}
	if pulsar != nil {
		v.fail("archive", "is for the embedded log: on Pulsar retention is a policy of the topics, and nothing can be put elsewhere before; leave it out")
	}
	u, err := url.Parse(a.To)
	switch bucket := strings.HasPrefix(a.To, bucketScheme); {
	case a.To == "":
		v.fail("archive.to", "is needed: a directory, or s3://bucket/prefix")
	case bucket && (err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != ""):
		v.fail("archive.to", "is not of the form s3://bucket/prefix")
	case !bucket && (a.Endpoint != "" || a.Region != ""):
		v.fail("archive.to", "is a directory: endpoint and region are for s3://bucket/prefix")
	case a.Endpoint != "":
		v.webURL("archive.endpoint", a.Endpoint)
	}
}
