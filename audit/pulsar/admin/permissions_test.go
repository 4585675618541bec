package admin_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	client "github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/log"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// connect is a client of Pulsar with the token of a role.
func connect(t *testing.T, p need.SharedPulsar, role string) client.Client {
	t.Helper()
	token, err := p.Keys.Token(role, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewClient(client.ClientOptions{
		URL: p.URL, Authentication: client.NewAuthenticationToken(token), OperationTimeout: 20 * time.Second,
		Logger: log.NewLoggerWithSlog(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mayProduce(t *testing.T, c client.Client, topic string) error {
	t.Helper()
	p, err := c.CreateProducer(client.ProducerOptions{Topic: topic, DisableBatching: true})
	if err == nil {
		p.Close()
	}
	return err
}

func mayConsume(t *testing.T, c client.Client, topic string) error {
	t.Helper()
	r, err := c.CreateReader(client.ReaderOptions{Topic: topic, StartMessageID: client.EarliestMessageID()})
	if err == nil {
		r.Close()
	}
	return err
}

// What is granted is what Pulsar's own authorization lets each role do.
func TestPermissionsAreWhatPulsarEnforces(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	apply(t, clientOf(t, p, pulsar.Superuser, nil), s)
	at := func(domain, topic string) string {
		return topics.Object{Tenant: s.Tenant, Domain: domain, Topic: topic}.String()
	}
	paymentCalls, paymentPayloads := at("payments", audit.TopicCalls), at("payments", topics.Payloads)
	sourceCalls, checkpoints := at("source", audit.TopicCalls), at(audit.OwnDomain, audit.TopicCheckpoints)
	control, rejections := at(audit.OwnDomain, audit.TopicControl), at(audit.OwnDomain, audit.TopicRejections)
	all := []string{paymentCalls, paymentPayloads, sourceCalls, checkpoints, control, rejections}
	for role, want := range map[string]struct{ produces, consumes string }{
		"deed":     {strings.Join(all, " "), strings.Join(all, " ")},
		"auditor":  {"", strings.Join([]string{paymentCalls, paymentPayloads, checkpoints}, " ")},
		"lead":     {"", strings.Join([]string{sourceCalls, checkpoints}, " ")},
		"stranger": {"", ""},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c := connect(t, p, role)
			for _, topic := range all {
				if err := mayProduce(t, c, topic); (err == nil) != strings.Contains(want.produces, topic) {
					t.Errorf("produce to %s: %v", topic, err)
				}
				if err := mayConsume(t, c, topic); (err == nil) != strings.Contains(want.consumes, topic) {
					t.Errorf("consume %s: %v", topic, err)
				}
			}
		})
	}
}

// Even the brokers' own role can't write what carries another schema, nor make a topic
// by writing to it; what it writes is deduplicated.
func TestPoliciesAreWhatPulsarEnforces(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	apply(t, clientOf(t, p, pulsar.Superuser, nil), s)
	c := connect(t, p, "deed")
	calls := topics.Object{Tenant: s.Tenant, Domain: "source", Topic: audit.TopicCalls}.String()
	drafts := topics.Object{Tenant: s.Tenant, Domain: "source", Topic: "drafts"}.String()
	avro := client.NewJSONSchema(`{"type":"record","name":"Other","fields":[{"name":"a","type":"string"}]}`, nil)
	for name, o := range map[string]client.ProducerOptions{
		"another schema":      {Topic: calls, Schema: avro},
		"a string":            {Topic: calls, Schema: client.NewStringSchema(nil)},
		"a topic not there":   {Topic: drafts},
		"a partition too far": {Topic: calls + "-partition-1"},
	} {
		if producer, err := c.CreateProducer(o); err == nil {
			producer.Close()
			t.Errorf("%s: it may produce", name)
		}
	}
	producer, err := c.CreateProducer(client.ProducerOptions{Topic: calls + "-partition-0", Name: "replica", DisableBatching: true})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	sequence := int64(7)
	var ids []client.MessageID
	for range 2 {
		id, err := producer.Send(t.Context(), &client.ProducerMessage{Payload: []byte("{}"), SequenceID: &sequence})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[0].EntryID() < 0 || ids[1].EntryID() != -1 {
		t.Errorf("stored twice: %v, %v", ids[0], ids[1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reader, err := connect(t, p, "lead").CreateReader(client.ReaderOptions{Topic: calls, StartMessageID: client.EarliestMessageID()})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	m, err := reader.Next(ctx)
	if err != nil || string(m.Payload()) != "{}" {
		t.Fatalf("the reader got %v, %v", m, err)
	}
	if reader.HasNext() {
		t.Error("there is another message")
	}
}
