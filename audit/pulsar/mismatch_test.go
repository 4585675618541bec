package pulsar_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	client "github.com/apache/pulsar-client-go/pulsar"
	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
)

// connect is a client of the brokers' own role, which a thief could have.
func connect(t *testing.T, tenant *pulsartest.Tenant) client.Client {
	t.Helper()
	c, err := client.NewClient(client.ClientOptions{URL: tenant.URL, Authentication: client.NewAuthenticationTokenFromFile(tenant.TokenFile)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// forge publishes a message as a stranger who may write would.
func forge(t *testing.T, c client.Client, topic, name string, batched bool, messages ...*client.ProducerMessage) {
	t.Helper()
	p, err := c.CreateProducer(client.ProducerOptions{Topic: topic, Name: name, DisableBatching: !batched, BatchingMaxPublishDelay: time.Second, SendTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, m := range messages {
		p.SendAsync(t.Context(), m, func(_ client.MessageID, _ *client.ProducerMessage, err error) {
			if err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	if err := p.FlushWithCtx(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// message is what a broker sends for an event.
func message(t *testing.T, e audit.Event) *client.ProducerMessage {
	t.Helper()
	body, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var attributes map[string]any
	if err := json.Unmarshal(body, &attributes); err != nil {
		t.Fatal(err)
	}
	properties := map[string]string{"content-type": pulsar.ContentType, "deed_run": "r", "deed_seq": "0"}
	for name, value := range attributes {
		if text, ok := value.(string); ok {
			properties["ce_"+name] = text
		}
	}
	return &client.ProducerMessage{Payload: body, Key: e.Subject, Properties: properties}
}

// TestForeignMessagesAreFlagged publishes what no broker writes. Each message is read,
// with what is wrong with it, and stops nobody.
func TestForeignMessagesAreFlagged(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{audittest.Domain, "source"}})
	l := open(t, tenant.Options("a", t.TempDir()))
	c := connect(t, tenant)
	topic := pulsar.TopicName(tenant.Name, audittest.Domain, audit.TopicCalls)
	event := func() audit.Event { return of(tenant, "b", audittest.Denied(audittest.NewID())) }
	source := event().Source

	for _, tt := range []struct {
		name string
		made func() []*client.ProducerMessage
		by   string
		want []audit.MismatchRule // of the last message
	}{
		{"an honest one", func() []*client.ProducerMessage { return []*client.ProducerMessage{message(t, event())} }, source, nil},
		{"no event", func() []*client.ProducerMessage { return []*client.ProducerMessage{{Payload: []byte("poison")}} }, "x", []audit.MismatchRule{audit.MismatchEvent, audit.MismatchSequence}},
		{"two readings", func() []*client.ProducerMessage {
			m := message(t, event())
			m.Payload = append(m.Payload[:len(m.Payload)-1:len(m.Payload)-1], `,"tenant":"other"}`...)
			return []*client.ProducerMessage{m}
		}, source, []audit.MismatchRule{audit.MismatchEvent}},
		{"another producer", func() []*client.ProducerMessage { return []*client.ProducerMessage{message(t, event())} }, "mallory", []audit.MismatchRule{audit.MismatchProducer}},
		{"another key", func() []*client.ProducerMessage {
			m := message(t, event())
			m.Key = "other"
			return []*client.ProducerMessage{m}
		}, source, []audit.MismatchRule{audit.MismatchKey}},
		{"another tenant and domain", func() []*client.ProducerMessage {
			e := event()
			e.Tenant, e.Domain = "other", "source"
			return []*client.ProducerMessage{message(t, e)}
		}, source, []audit.MismatchRule{audit.MismatchPlace}},
		{"an envelope that says another principal", func() []*client.ProducerMessage {
			m := message(t, event())
			m.Properties["ce_principal"] = "bob"
			return []*client.ProducerMessage{m}
		}, source, []audit.MismatchRule{audit.MismatchEnvelope}},
		{"another content type", func() []*client.ProducerMessage {
			m := message(t, event())
			m.Properties["content-type"] = "text/plain"
			return []*client.ProducerMessage{m}
		}, source, []audit.MismatchRule{audit.MismatchSchema}},
		{"a token that had expired", func() []*client.ProducerMessage {
			e := of(tenant, "b", audittest.Intent(audittest.NewID(), `{}`))
			past := e.Time.Add(-time.Hour)
			e.TokenExpires, e.Payloads = &past, nil
			return []*client.ProducerMessage{message(t, e)}
		}, source, []audit.MismatchRule{audit.MismatchExpired}},
		{"a number that skips", func() []*client.ProducerMessage {
			one, three := message(t, event()), message(t, event())
			one.Properties["deed_run"], three.Properties["deed_run"] = "skips", "skips"
			three.Properties["deed_seq"] = "2"
			return []*client.ProducerMessage{one, three}
		}, source, []audit.MismatchRule{audit.MismatchSequence}},
	} {
		messages := tt.made()
		for i, m := range messages {
			if m.Properties["deed_run"] == "r" {
				messages[i].Properties = maps.Clone(m.Properties)
				messages[i].Properties["deed_run"] = tt.name
			}
		}
		forge(t, c, topic, tt.by, false, messages...)
		if got := lastRules(t, l); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	forge(t, c, topic, source, true, message(t, event()), message(t, event()))
	if got := lastRules(t, l); !slices.Contains(got, audit.MismatchBatch) {
		t.Errorf("a batch: %v", got)
	}

	// The log goes on, and follows say the same as reads.
	at := appendAll(t, l, of(tenant, "a", audittest.Denied(audittest.NewID())))
	records, err := audittest.All(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	followed, err := audittest.Take(l.Follow(t.Context(), ""), len(records))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(records, followed); diff != "" {
		t.Errorf("what is followed is not what is read: %s", diff)
	}
	if last := records[len(records)-1]; last.Position != at[0] || len(last.Mismatches) > 0 {
		t.Errorf("the next event stands at %s with %v, not at %s", last.Position, last.Mismatches, at[0])
	}
	for _, r := range records {
		for _, m := range r.Mismatches {
			if m.Topic != topic || m.Message == "" {
				t.Errorf("a mismatch does not say where: %+v", m)
			}
		}
	}
}

// lastRules are what is wrong with the newest record.
func lastRules(t *testing.T, l *pulsar.Log) (rules []audit.MismatchRule) {
	t.Helper()
	records, err := audittest.All(context.WithoutCancel(t.Context()), l)
	if err != nil || len(records) == 0 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, m := range records[len(records)-1].Mismatches {
		rules = append(rules, m.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}
