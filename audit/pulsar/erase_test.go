package pulsar_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	client "github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
)

// everything reads all that a topic has, compacted or not.
func everything(t *testing.T, c client.Client, topic string, compacted bool) (bodies [][]byte) {
	t.Helper()
	r, err := c.CreateReader(client.ReaderOptions{Topic: topic, StartMessageID: client.EarliestMessageID(), ReadCompacted: compacted})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for r.HasNext() {
		m, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, m.Payload())
	}
	return bodies
}

// canMake reports whether a key of a tree can be made from what the topic keys says.
func canMake(t *testing.T, said [][]byte, tree, leaf string) bool {
	t.Helper()
	for _, text := range said {
		var keys struct {
			ID    string `json:"id"`
			Nodes []struct {
				Path   string `json:"path"`
				Secret []byte `json:"secret"`
			} `json:"nodes"`
		}
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		for _, n := range keys.Nodes {
			if keys.ID == tree && strings.HasPrefix(leaf, n.Path) {
				return true
			}
		}
	}
	return false
}

// headOf finds which key a payload has, as everybody can see.
func headOf(t *testing.T, messages [][]byte, name string) (tree, leaf string) {
	t.Helper()
	for _, m := range messages {
		at := bytes.Index(m, []byte(`{"name":"`+name+`"`))
		if at < 0 {
			continue
		}
		var head struct {
			Tree string `json:"tree"`
			Leaf string `json:"leaf"`
		}
		if err := json.NewDecoder(bytes.NewReader(m[at:])).Decode(&head); err != nil {
			t.Fatal(err)
		}
		return head.Tree, head.Leaf
	}
	t.Fatalf("no payload %q", name)
	return "", ""
}

// TestErasedIsGoneForWhoeverReadsEverything looks for the key of an erased payload in
// all that Pulsar gives: every message of the keys' topic, compacted and not.
func TestErasedIsGoneForWhoeverReadsEverything(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{audittest.Domain}})
	o := tenant.Options("a", t.TempDir())
	o.Auth.TokenFile = tenant.AdminFile
	l := open(t, o)
	witness := open(t, tenant.Options("b", t.TempDir())) // another replica
	payloads := []audit.Payload{audit.NewPayload("first", []byte("secret one")), audit.NewPayload("second", []byte("secret two"))}
	at := appendAll(t, l, of(tenant, "a", audittest.NewEvent(audit.CallIntent, audittest.NewID(), struct{}{}, payloads...)))[0]

	c := connect(t, tenant)
	stored := everything(t, c, pulsar.TopicName(tenant.Name, audittest.Domain, pulsar.TopicPayloads), false)
	for _, m := range stored {
		if bytes.Contains(m, []byte("secret")) {
			t.Fatal("a payload is stored in the clear")
		}
	}
	keys := pulsar.TopicName(tenant.Name, audittest.Domain, pulsar.TopicKeys)
	all := func() [][]byte { return append(everything(t, c, keys, false), everything(t, c, keys, true)...) }
	tree, first := headOf(t, stored, "first")
	_, second := headOf(t, stored, "second")
	if said := all(); !canMake(t, said, tree, first) || !canMake(t, said, tree, second) {
		t.Fatal("the keys cannot be made before anything was erased: this test sees nothing")
	}
	if err := l.Erase(t.Context(), at, "first"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what Pulsar still says", func() error {
		switch said := all(); {
		case canMake(t, said, tree, first):
			return errors.New("the key of the erased payload can be made")
		case !canMake(t, said, tree, second):
			t.Fatal("the key of the other payload is lost")
		}
		return nil
	})
	eventually(t, "the other replica", func() error {
		_, err := witness.Payload(t.Context(), at, "first")
		return err
	}, audit.ErrErased)
	if p, err := witness.Payload(t.Context(), at, "second"); err != nil || string(p.Body) != "secret two" {
		t.Errorf("the other payload: %q, %v", p.Body, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = t.TempDir()
	again := open(t, o)
	if _, err := again.Payload(t.Context(), at, "first"); !errors.Is(err, audit.ErrErased) {
		t.Errorf("after opening again: %v", err)
	}
	if p, err := again.Payload(t.Context(), at, "second"); err != nil || string(p.Body) != "secret two" {
		t.Errorf("the other payload after opening again: %q, %v", p.Body, err)
	}
}

// TestErasingManyRecords: of several events at once, those without payloads too.
func TestErasingManyRecords(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{audittest.Domain}})
	o := tenant.Options("a", t.TempDir())
	o.Auth.TokenFile = tenant.AdminFile
	l := open(t, o)
	at := appendAll(t, l,
		of(tenant, "a", audittest.Intent(audittest.NewID(), `{"amount":1}`)), of(tenant, "a", audittest.Intent(audittest.NewID(), `{"amount":2}`)),
		of(tenant, "a", audittest.NewEvent(audit.CallIntent, audittest.NewID(), struct{}{})), of(tenant, "a", audittest.Intent(audittest.NewID(), `{"amount":3}`)))
	for range 2 { // again is harmless
		var places []audit.Places
		for _, p := range at[:3] {
			places = append(places, audit.Places{Log: p.Log, Indexes: []int64{p.Index}})
		}
		if err := l.EraseRecords(t.Context(), places...); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range []error{audit.ErrErased, audit.ErrErased, audit.ErrNotFound, nil} {
		if _, err := l.Payload(t.Context(), at[n], audit.PayloadArguments); !errors.Is(err, want) {
			t.Errorf("payload %d: %v, want %v", n, err, want)
		}
	}
}

// TestErasingNeedsTheTenantsAdministrator: a broker's role takes the key out, and says
// that Pulsar still has the message that had it.
func TestErasingNeedsTheTenantsAdministrator(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{audittest.Domain}})
	l := open(t, tenant.Options("a", t.TempDir()))
	at := appendAll(t, l, of(tenant, "a", audittest.Intent(audittest.NewID(), `{"amount":1}`)))[0]
	if err := l.Erase(t.Context(), at, audit.PayloadArguments); !errors.Is(err, pulsar.ErrNotPermitted) || !errors.Is(err, audit.ErrResidue) {
		t.Errorf("erase: %v, want ErrNotPermitted and ErrResidue", err)
	}
	if _, err := l.Payload(t.Context(), at, audit.PayloadArguments); !errors.Is(err, audit.ErrErased) {
		t.Errorf("the payload: %v, want ErrErased", err)
	}
}
