package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/pulsar"
)

// topicsSource says where on Pulsar a history is, and as whom to read it.
type topicsSource struct {
	url, token, ca, cert, key string
	domains                   []string
}

func (s *topicsSource) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&s.url, "pulsar", "", "verify the topics of --tenant at this `URL`, pulsar:// or pulsar+ssl://")
	flags.StringVar(&s.token, "token-file", "", "a `file` with a token for Pulsar that may consume the topics")
	flags.StringVar(&s.cert, "cert-file", "", "a client certificate for Pulsar")
	flags.StringVar(&s.key, "key-file", "", "its private key")
	flags.StringVar(&s.ca, "ca-file", "", "whom to trust to certify Pulsar")
	flags.StringArrayVar(&s.domains, "domain", nil, "a `domain` of which there is no checkpoint yet; may be repeated")
}

// open reads the topics' hashes into a directory of its own: nothing that somebody kept
// is trusted.
func (s *topicsSource) open(ctx context.Context, tenant string, payloads bool) (source, error) {
	if tenant == "" {
		return source{}, usage("--pulsar needs the --tenant whose topics are to be verified")
	}
	dir, err := os.MkdirTemp("", "deed-verify-*")
	if err != nil {
		return source{}, err
	}
	r, err := pulsar.OpenReadOnly(ctx, pulsar.Options{
		URL: s.url, Tenant: tenant, Domains: s.domains, Dir: dir, Logger: slog.New(slog.DiscardHandler),
		Auth: pulsar.Auth{TokenFile: s.token, CertFile: s.cert, KeyFile: s.key, CAFile: s.ca},
	}, payloads)
	if err != nil {
		err = errors.Join(err, os.RemoveAll(dir))
		if errors.Is(err, pulsar.ErrNotPermitted) {
			err = withHint(err, "the role needs to consume the tenant's topics, those of the domain deed as well; --skip-payloads does without the payloads")
		}
		return source{}, err
	}
	return source{r, closers{r, scratch(dir)}, "tenant " + tenant + " at " + s.url}, nil
}

// closers are closed one after the other.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// scratch is a directory that goes when it is closed.
type scratch string

func (s scratch) Close() error { return os.RemoveAll(string(s)) }
