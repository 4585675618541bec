package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	client "github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// TestErasedAndRotatedOnPulsar does by its verbs what whoever answers for the data does where
// two brokers share a log, and their role does not administer the tenant: arguments and
// results are erased, Pulsar is made to forget their keys, the key of the log is rotated, and
// whoever has kept the first key still verifies all of it.
func TestErasedAndRotatedOnPulsar(t *testing.T) {
	t.Parallel()
	p := need.Pulsar(t)
	f := newFleetOn(t, 2, p.URL, p.Admin, p.Keys)
	one, two := f.replicas[0], f.replicas[1]
	made, err := one.agent.Call(t.Context(), "work.do", []byte(`{"token":"kettle","ask":false}`), callOptions())
	if err != nil {
		t.Fatal(err)
	}
	held, err := two.agent.Call(t.Context(), "work.do", []byte(`{"token":"teapot","ask":true}`), callOptions())
	if err != nil || held.Pending == nil {
		t.Fatalf("%+v, %v", held, err)
	}
	f.until(t, "the first broker knows of both calls", func() error {
		calls, err := one.bob.Calls(t.Context(), nil, 0)
		if err == nil && len(calls) != 2 {
			err = fmt.Errorf("%d calls", len(calls))
		}
		return err
	})
	bob := f.issuer.Token(f.issuer.PersonClaims("bob", "console", "lead"))
	as := func(r *replicaProcess, args ...string) []string { return append(args, "--url", r.url, "--token", bob) }

	_, said, code := f.home.run(t, as(one, "erase", "--principal", "alice", "--reason", "ticket 4711", "--yes")...)
	if code != exitFailed || !strings.Contains(said, "deed topics purge") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	for id, outcome := range map[string]string{made.CallID: "result", held.Pending.CallID: "cancelled"} {
		for _, r := range f.replicas {
			f.until(t, r.name+" has erased "+id, func() error { return isErased(t.Context(), r, id, outcome) })
		}
	}
	if had := f.keysSaid(t); had < 2 {
		t.Fatalf("the topic keys has %d messages before it is purged: this test sees nothing", had)
	}
	f.home.must(t, []string{"topics", "purge", "-c", one.config, "--admin-token-file", f.tenant.AdminFile, "--yes", "--json"}, `"work"`)
	f.until(t, "Pulsar has forgotten", func() error {
		if n := f.keysSaid(t); n > 1 {
			return fmt.Errorf("the topic keys still has %d messages", n)
		}
		return nil
	})
	f.home.must(t, as(one, "erase", "--principal", "alice", "--preview"), "would erase: ")

	f.rotate(t, as)
	if _, err := two.agent.Call(t.Context(), "work.do", []byte(`{"token":"spoon","ask":false}`), callOptions()); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.replicas {
		if code, said := r.process().stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("%s ended with code %d:\n%s", r.name, code, said)
		}
	}
	now, err := seal.LoadKey(filepath.Join(string(f.home), "keys", "checkpoints.key"))
	if err != nil || now.Verifier().String() == f.key.Verifier().String() {
		t.Fatalf("the file still has the first key: %v", err)
	}
	for _, key := range []seal.Verifier{f.key.Verifier(), now.Verifier()} {
		f.home.must(t, []string{
			"verify", "--pulsar", f.tenant.URL, "--tenant", f.tenant.Name, "--token-file", f.tenant.TokenFile, "--key", key.String(), "--closed",
		}, "verified: ")
	}
}

func isErased(ctx context.Context, r *replicaProcess, id, outcome string) error {
	d, err := r.bob.Call(ctx, id)
	switch {
	case err != nil:
		return err
	case d.Outcome != outcome || !d.Erased.Arguments || d.Arguments != nil:
		return fmt.Errorf("it is %s, %+v: %s", d.Outcome, d.Erased, d.Arguments)
	case outcome == "cancelled" && d.Code != audit.CodeErased:
		return errors.New("it is " + d.Code)
	}
	return nil
}

// keysSaid is how many messages of the topic keys Pulsar still gives to whoever reads all.
func (f *fleet) keysSaid(t *testing.T) int {
	t.Helper()
	token, err := os.ReadFile(f.tenant.AdminFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewClient(client.ClientOptions{URL: f.tenant.URL, Authentication: client.NewAuthenticationToken(strings.TrimSpace(string(token)))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.CreateReader(client.ReaderOptions{Topic: pulsar.TopicName(f.tenant.Name, "work", pulsar.TopicKeys), StartMessageID: client.EarliestMessageID()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for ; r.HasNext(); n++ {
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// rotate gives the log's key a successor, once without the key that each broker needs.
func (f *fleet) rotate(t *testing.T, as func(*replicaProcess, ...string) []string) {
	t.Helper()
	one, two := f.replicas[0], f.replicas[1]
	if _, said, code := f.home.run(t, as(two, "key", "rotate", "--reason", "yearly", "--yes")...); code != exitFailed || !strings.Contains(said, "deed key stage") {
		t.Fatalf("without a next key: exit code %d: %s", code, said)
	}
	f.home.must(t, []string{"key", "stage", "-c", one.config}, "deed/"+f.tenant.Name)
	out := f.home.must(t, as(two, "key", "rotate", "--reason", "yearly", "--yes", "--json"))
	var keys httpapi.Keys
	if err := json.Unmarshal([]byte(out), &keys); err != nil || len(keys.Rotations) != 1 {
		t.Fatalf("%s: %v", out, err)
	}
	for _, r := range f.replicas {
		f.until(t, r.name+" signs with the new key", func() error {
			known, err := r.bob.Keys(t.Context())
			if err == nil && known.Key != keys.Key {
				err = errors.New("it is " + known.Key)
			}
			return err
		})
	}
}
