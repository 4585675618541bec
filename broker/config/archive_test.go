package config_test

import (
	"strings"
	"testing"

	"github.com/deedbroker/deed/broker/config"
)

func TestArchivesNeedAPlace(t *testing.T) {
	t.Parallel()
	const base = `
url: http://127.0.0.1:8642
issuers: [{ url: "https://idp.example" }]
policies: [all.cedar]
domains: { payments: {} }
`
	for text, want := range map[string]string{
		"archive: { to: kept }": "",
		"archive: { to: s3://acme/deed, endpoint: https://s3.example }": "",
		"archive: {}":                                             "archive.to: is needed",
		"archive: { to: s3:// }":                                  "archive.to: is not of the form s3://bucket/prefix",
		"archive: { to: s3://u:p@acme }":                          "archive.to: is not of the form",
		"archive: { to: kept, region: eu }":                       "archive.to: is a directory",
		"archive: { to: s3://acme, endpoint: http://s3.example }": "archive.endpoint: is http to another machine",
		"archive: { to: kept }\nlog: { pulsar: { url: pulsar://127.0.0.1:6650, admin: http://127.0.0.1:8080 } }": "archive: is for the embedded log",
	} {
		c, err := config.Parse("/etc/deed/deed.yaml", []byte(base+text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want == "" && c.Archive.To != "/etc/deed/kept" && c.Archive.To != "s3://acme/deed":
			t.Errorf("%s: goes to %s", text, c.Archive.To)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
