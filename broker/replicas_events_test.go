package broker_test

import (
	"encoding/json"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// What the model of replicas writes about its one call.

func someCallEvent(typ audit.Type, source, id string, at time.Time, data any) audit.Event {
	body, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return audit.Event{
		SpecVersion: "1.0", ID: id, Type: typ, Source: source, Subject: "call", Time: at,
		Tenant: "acme", Domain: "desk", Topic: audit.TopicCalls, Data: body,
	}
}

func someIdentity(name string, at time.Time, chain ...string) audit.Identity {
	id := audit.Identity{Issuer: "https://idp.example", Principal: name, Expires: at.Add(time.Hour)}
	for _, a := range chain {
		id.Chain = append(id.Chain, audit.Actor{ID: a})
	}
	return id
}

func someIntent(held bool, at time.Time) audit.Intent {
	in := audit.Intent{Tool: "desk.echo", Identity: someIdentity("alice", at, "copilot"), Decision: audit.Decision{Effect: audit.Allow}}
	if held {
		end := at.Add(24 * time.Hour)
		in.Decision = audit.Decision{Effect: audit.Hold, Expires: &end}
	}
	in.Digest = audit.CallDigest(in)
	return in
}

func someVote(in audit.Intent, at time.Time) audit.Approval {
	return audit.Approval{Digest: in.Digest, By: someIdentity("bob", at), Decision: audit.Decision{Effect: audit.Allow}}
}

func someRelease(c calls.Call) audit.Release {
	r := audit.Release{Digest: c.Intent.Digest, Decision: audit.Decision{Effect: audit.Allow}}
	for _, v := range c.Votes {
		r.Approvals = append(r.Approvals, v.ID)
	}
	return r
}
