package server

import (
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/redact"
	"github.com/deedbroker/deed/broker/secrets"
)

// redactions are the rules by which calls are put on record, by domain. A domain that
// configuration does not mention keeps secrets off the record.
func redactions(cfg *config.Config) (func(domain string) *redact.Rules, error) {
	finder := secrets.New()
	if _, err := finder.Find(""); err != nil { // now rather than at the first call
		return nil, err
	}
	rest := &redact.Rules{Secrets: redact.RedactSecrets, Finder: finder}
	rules := map[string]*redact.Rules{}
	for name, d := range cfg.Domains {
		fields, err := redact.Parse(d.Redact)
		if err != nil {
			return nil, err
		}
		rules[name] = &redact.Rules{Fields: fields, Secrets: d.Secrets, Finder: finder}
	}
	return func(domain string) *redact.Rules {
		if r, ok := rules[domain]; ok {
			return r
		}
		return rest
	}, nil
}

// withheld reports whether an argument must not be in a message to people: it looks like a
// secret by the rules of what is put on record, or by stricter ones.
func withheld(field, text string) bool {
	if notify.Secret(field, text) {
		return true
	}
	found, err := secrets.New().Find(text)
	return err != nil || len(found) > 0
}
