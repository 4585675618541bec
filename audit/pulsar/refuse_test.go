package pulsar_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
)

// attempt appends an event and waits no longer than a call does.
func attempt(t *testing.T, l *pulsar.Log, e audit.Event) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := l.Append(ctx, e)
	return err
}

// TestRefusalsAreClear: whatever Pulsar's reason is, an append ends in time, with an
// error that tells it, and another log goes on.
func TestRefusalsAreClear(t *testing.T) { //nolint:tparallel // one after the other, on one log
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{"payments", "source", "quota"}})
	o := tenant.Options("a", t.TempDir())
	o.Patience = 2 * time.Second
	l := open(t, o)
	in := func(domain string) audit.Event {
		e := of(tenant, "a", audittest.Denied(audittest.NewID()))
		e.Domain = domain
		return e
	}
	path := func(domain, topic string) string { return "persistent/" + tenant.Name + "/" + domain + "/" + topic }
	appendAll(t, l, in("payments"), in("source"), in("quota"))

	t.Run("a domain that is not served", func(t *testing.T) {
		if err := attempt(t, l, in("other")); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
	})
	t.Run("an answer of more than a message may have", func(t *testing.T) {
		big := of(tenant, "a", audittest.NewEvent(audit.CallResult, audittest.NewID(), struct{}{}, audit.NewPayload(audit.PayloadOutput, make([]byte, 7<<20))))
		at := appendAll(t, l, big)[0] // in chunks
		if p, err := l.Payload(t.Context(), at, audit.PayloadOutput); err != nil || len(p.Body) != 7<<20 {
			t.Errorf("%d bytes, %v", len(p.Body), err)
		}
		huge := of(tenant, "a", audittest.NewEvent(audit.CallResult, audittest.NewID(), struct{}{}, audit.NewPayload(audit.PayloadOutput, make([]byte, 9<<20))))
		if err := attempt(t, l, huge); !errors.Is(err, audit.ErrTooLarge) {
			t.Errorf("%v, want ErrTooLarge", err)
		}
	})
	t.Run("a topic that was terminated", func(t *testing.T) {
		tenant.Do(t, http.MethodPost, path("source", audit.TopicCalls)+"/terminate", nil)
		eventually(t, "append", func() error { return attempt(t, l, in("source")) }, pulsar.ErrTerminated)
		if err := attempt(t, l, in("source")); !errors.Is(err, audit.ErrUnavailable) || errors.Is(err, audit.ErrUncertain) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
		if err := l.Health(); !errors.Is(err, pulsar.ErrTerminated) {
			t.Errorf("health: %v", err)
		}
	})
	t.Run("permission that was withdrawn", func(t *testing.T) {
		tenant.Do(t, http.MethodDelete, "namespaces/"+tenant.Name+"/quota/permissions/"+pulsartest.Role, nil)
		tenant.Do(t, http.MethodPut, path("quota", audit.TopicCalls)+"/unload", nil) // connected producers are not asked
		eventually(t, "append", func() error {
			began := time.Now()
			err := attempt(t, l, in("quota"))
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			return err
		}, audit.ErrUnavailable)
		tenant.Do(t, http.MethodPost, "namespaces/"+tenant.Name+"/quota/permissions/"+pulsartest.Role, []string{"produce", "consume"})
		eventually(t, "append with permission again", func() error { return attempt(t, l, in("quota")) })
	})
	t.Run("a backlog quota that is used up", func(t *testing.T) {
		quota := func(limit int) map[string]any {
			return map[string]any{"limitSize": limit, "policy": "producer_exception"}
		}
		topic := path("quota", audit.TopicCalls)
		tenant.Do(t, http.MethodPut, topic+"/subscription/slow", nil) // holds everything up
		tenant.Do(t, http.MethodPost, topic+"/backlogQuota?backlogQuotaType=destination_storage", quota(100))
		eventually(t, "append", func() error { return attempt(t, l, in("quota")) }, audit.ErrFull, pulsar.ErrQuota)
		if err := l.Health(); !errors.Is(err, pulsar.ErrQuota) {
			t.Errorf("health: %v", err)
		}
		tenant.Do(t, http.MethodDelete, topic+"/backlogQuota?backlogQuotaType=destination_storage", nil)
		tenant.Do(t, http.MethodDelete, topic+"/subscription/slow?force=true", nil)
		eventually(t, "append with room again", func() error { return attempt(t, l, in("quota")) })
	})
	if err := attempt(t, l, in("payments")); err != nil {
		t.Errorf("the log of another domain: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{"payments"}})
	running := open(t, tenant.Options("a", t.TempDir()))
	_ = running
	refused := func(what string, o pulsar.Options, want error) {
		t.Helper()
		o.OpenWait = 20 * time.Second
		l, err := pulsar.Open(t.Context(), o)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if err == nil {
			_ = l.Close()
		}
	}
	refused("a name that is in use", tenant.Options("a", t.TempDir()), audit.ErrLocked)

	stranger := tenant.Options("b", t.TempDir())
	stranger.Auth.TokenFile = tenant.Token(t, "stranger", time.Hour)
	refused("a role without permission", stranger, pulsar.ErrNotPermitted)

	missing := tenant.Options("b", t.TempDir())
	missing.Domains = append(missing.Domains, "nowhere")
	refused("a domain without topics", missing, audit.ErrUnavailable)

	away := tenant.Options("b", t.TempDir())
	away.URL = "pulsar://127.0.0.1:1"
	refused("Pulsar that is away", away, audit.ErrUnavailable)

	empty := tenant.Options("b", t.TempDir())
	if err := os.Truncate(stranger.Auth.TokenFile, 0); err != nil {
		t.Fatal(err)
	}
	empty.Auth.TokenFile = stranger.Auth.TokenFile
	if _, err := pulsar.Open(t.Context(), empty); err == nil {
		t.Error("an empty token was taken")
	}
	tenant.Do(t, http.MethodPost, "namespaces/"+tenant.Name+"/payments/deduplication", false)
	eventually(t, "open without deduplication", func() error {
		l, err := pulsar.Open(t.Context(), tenant.Options("b", t.TempDir()))
		if err == nil {
			return errors.Join(errors.New("it was opened"), l.Close())
		}
		return err
	}, audit.ErrUnavailable)
}
