package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/httpapi"
)

// scopeFlags say which calls a verb is about.
type scopeFlags struct{ httpapi.Scope }

func (s *scopeFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.Principal, "principal", "", "calls on behalf of this `user`")
	f.StringVar(&s.Agent, "agent", "", "calls in whose chain this `agent` acts")
	f.StringVar(&s.Session, "session", "", "calls of this session, by its `id` at the identity provider")
	f.StringVar(&s.Domain, "domain", "", "calls of this `domain`")
	f.StringVar(&s.Since, "since", "", "calls opened at this `time` or later")
	f.StringVar(&s.Until, "until", "", "calls opened before this `time`")
}

// scope is what the flags say, with a call's id from the arguments.
func (s *scopeFlags) scope(args []string, now time.Time) (httpapi.Scope, error) {
	scope := s.Scope
	if len(args) > 0 {
		scope.CallID = args[0]
	}
	for _, text := range []*string{&scope.Since, &scope.Until} {
		if *text == "" {
			continue
		}
		t, err := parseTime(*text, now)
		if err != nil {
			return scope, usage("%w", err)
		}
		*text = t.UTC().Format(time.RFC3339Nano)
	}
	if scope == (httpapi.Scope{}) {
		return scope, withHint(usage("it is not said which calls are meant"), "name one by its id, or give --principal, --agent, --session, --domain, --since or --until")
	}
	return scope, nil
}

func scopeWords(s httpapi.Scope) string {
	var words []string
	for _, w := range [][2]string{
		{"call", s.CallID},
		{"principal", s.Principal},
		{"agent", s.Agent},
		{"session", s.Session},
		{"domain", s.Domain},
		{"since", s.Since},
		{"until", s.Until},
	} {
		if w[1] != "" {
			words = append(words, w[0]+" "+w[1])
		}
	}
	return plain(strings.Join(words, ", "))
}
