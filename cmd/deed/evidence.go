package main

import (
	"context"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/broker/evidence"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
)

// evidenceFromBroker has a broker write an evidence pack.
func (x *exporter) evidenceFromBroker(ctx context.Context, e *environment, f exportFlags) error {
	a, err := e.api()
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"framework": f.framework, "domains": strings.Join(f.domains, ",")} {
		if value != "" {
			x.query.Set(name, value)
		}
	}
	if f.payloads {
		x.query.Set("tier", string(policy.TierResults))
	}
	if err := a.Evidence(ctx, x.query, x.out); err != nil {
		return err
	}
	e.say("hand it on with the broker's public key, by another way; `deed verify FILE --key KEY` checks it anywhere\n")
	return nil
}

// evidence writes an evidence pack.
func (x *exporter) evidence(ctx context.Context, e *environment, from source, f exportFlags, since, until time.Time) error {
	history, ok := from.unwrap().(pack.History)
	if !ok {
		return usage("evidence is made of a data directory: %s is an export already", plain(f.data))
	}
	o := pack.Options{Since: since, Until: until, Domains: f.domains, Payloads: f.payloads, Made: time.Now()}
	if f.framework != "" {
		var err error
		if o.Extra, o.Readme, err = evidence.Files(ctx, history, f.framework, hindsight.Options{Since: since, Until: until}); err != nil {
			return err
		}
	}
	m, err := pack.Write(ctx, x.out, history, o)
	if err != nil {
		return withHint(err, "`deed verify` tells what is wrong with the history")
	}
	var records int64
	for _, part := range m.Logs {
		records += part.To - part.From
	}
	e.say("%d sealed records of %d logs; hand it on with the key, by another way:\n", records, len(m.Logs))
	for _, k := range m.Keys {
		e.say("  %s\n", plain(k))
	}
	return nil
}
