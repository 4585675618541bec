package admin_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	client "github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// ask does as the superuser what no step does.
func ask(t *testing.T, p need.SharedPulsar, method, path string) {
	t.Helper()
	token, err := p.Keys.Token(pulsar.Superuser, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.Admin+"/admin/v2/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r) //nolint:forbidigo // a test's own
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
}

// A key that is still in force is there after Pulsar has dropped all that it may drop:
// without the subscription for compaction it would not be.
func TestKeysOutliveTrimming(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	apply(t, clientOf(t, p, pulsar.Superuser, nil), s)
	keys := topics.Object{Tenant: s.Tenant, Domain: "source", Topic: topics.Keys}.String()
	path := strings.Replace(keys, "://", "/", 1)
	c := connect(t, p, "deed")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	want := []string{"a", "b", "c"}
	for _, key := range want {
		producer, err := c.CreateProducer(client.ProducerOptions{Topic: keys, DisableBatching: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := producer.Send(ctx, &client.ProducerMessage{Key: key, Payload: []byte("secret")}); err != nil {
			t.Fatal(err)
		}
		producer.Close()
		ask(t, p, http.MethodPut, path+"/unload") // begins another ledger
		ask(t, p, http.MethodPost, path+"/trim")
	}
	reader, err := c.CreateReader(client.ReaderOptions{Topic: keys, StartMessageID: client.EarliestMessageID(), ReadCompacted: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, key := range want {
		m, err := reader.Next(ctx)
		if err != nil || m.Key() != key {
			t.Fatalf("want key %s, got %v, %v", key, m, err)
		}
	}
}
