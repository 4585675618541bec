package config_test

import (
	"strings"
	"testing"

	"github.com/deedbroker/deed/broker/config"
)

func TestNotifyIsCheckedBeforeAnybodyIsTold(t *testing.T) {
	t.Parallel()
	const smtp = `smtp: { server: "mail.acme.example:587", from: deed@acme.example, to: [leads@acme.example]`
	for text, want := range map[string]string{
		"a: { " + smtp + " } } }\n  routes: [{ to: [a] }]":                                                  "",
		"a: { " + smtp + " } } }":                                                                           "notify.routes: none is configured",
		"a: { " + smtp + ", user: deed } } }\n  routes: [{ to: [a] }]":                                      "notify.channels.a.smtp.password: is needed",
		"a: { " + smtp + ", user: deed, password: sesame } } }\n  routes: [{ to: [a] }]":                    "is not a reference to a secret",
		"a: { " + smtp + ", tls: maybe } } }\n  routes: [{ to: [a] }]":                                      "\"maybe\" is not known",
		"a: { " + smtp + " }, limit: 0/m } }\n  routes: [{ to: [a] }]":                                      "notify.channels.a.limit: must be at least one",
		"a: { " + smtp + " }, slack: { url: env://S } } }\n  routes: [{ to: [a] }]":                         "needs exactly one of",
		"a: { webhook: { url: http://hooks.acme.example, secret: env://S } } }\n  routes: [{ to: [a] }]":    "notify.channels.a.webhook.url",
		"a: { webhook: { url: https://hooks.acme.example } } }\n  routes: [{ to: [a] }]":                    "notify.channels.a.webhook.secret: is needed",
		"a: { slack: { url: https://hooks.acme.example/x } } }\n  routes: [{ to: [a] }]":                    "is not a reference to a secret",
		"a: { slack: { url: vault://kv/data/slack#url } } }\n  routes: [{ to: [a] }]":                       "is in a vault, and none is configured",
		"a: { push: { subscriber: nobody } } }\n  routes: [{ to: [a] }]":                                    "notify.channels.a.push.subscriber",
		"a: { push: { subscriber: a@b.c } }, b: { push: { subscriber: a@b.c } } }\n  routes: [{ to: [a] }]": "has push more than once",
		"a: { " + smtp + " } } }\n  routes: [{ to: [a, a] }]":                                               "is named twice",
		"a: { " + smtp + " } } }\n  routes: [{ domains: [none], to: [a] }]":                                 "is not among domains",
		"a: { " + smtp + " } } }\n  routes: [{ to: [a], quiet: { hours: 22-7 } }]":                          "is not a part of the day",
		"a: { " + smtp + " } } }\n  routes: [{ to: [a], quiet: { zone: UTC } }]":                            "quiet.hours: is needed",
		"a: { " + smtp + " } } }\n  routes: [{ to: [a], escalate: [{ after: 0s, to: [b] }] }]":              "\"b\" is not among notify.channels",
	} {
		_, err := config.Parse("deed.yaml", []byte(minimal+"notify:\n  channels: { "+text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nsays %v, want %q", text, err, want)
		}
	}
}
