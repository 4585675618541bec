package migrate_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/archive/s3"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/migrate"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// A history is archived in an object store on its way. Where that refuses, or hangs in the
// midst of a file until whoever moves it is gone, the new log is not begun, and the next run
// goes on.
func TestAHistoryIsArchivedInABucketOnItsWay(t *testing.T) {
	backend := s3mem.New()
	must(t, backend.CreateBucket("acme"))
	inner := gofakes3.New(backend).Server()
	var refuses, hangs atomic.Bool
	hung := make(chan struct{}, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case refuses.Load():
			w.WriteHeader(http.StatusForbidden)
		case hangs.Load() && r.Method == http.MethodPut:
			hung <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body) // who sends it is not heard of otherwise
			<-r.Context().Done()
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	const place = "s3://acme/deed/moved"
	store, err := s3.New(place, s3.Options{Endpoint: server.URL, Region: "us-east-1"})
	must(t, err)
	m := history(t, nil)
	begun := false
	old := open(t, m.dir)
	run := func(ctx context.Context) (migrate.Result, error) {
		return migrate.Run(ctx, m.options(old, store, place, func(ctx context.Context) (audit.Log, error) {
			begun = true
			return embedded.Open(ctx, m.to, embedded.Options{ReserveBytes: 1 << 20})
		}))
	}
	refuses.Store(true)
	if _, err := run(t.Context()); err == nil || begun {
		t.Fatalf("the store refuses: %v, begun: %t", err, begun)
	}
	refuses.Store(false)
	hangs.Store(true)
	ctx, gone := context.WithCancel(t.Context())
	go func() { <-hung; gone() }()
	if _, err := run(ctx); err == nil || begun {
		t.Fatalf("the store hangs: %v, begun: %t", err, begun)
	}
	hangs.Store(false)
	got, err := run(t.Context())
	must(t, old.Close())
	if err != nil || got.Archive != place || len(got.Logs) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	p, err := archive.Open(t.Context(), store)
	must(t, err)
	defer p.Close() //nolint:errcheck // it was only read
	r, err := embedded.OpenReadOnly(t.Context(), m.to)
	must(t, err)
	defer r.Close() //nolint:errcheck // it was only read
	report, err := archive.VerifyMoved(t.Context(), r, []archive.Kept{{Pack: p, Place: place}}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
	if err != nil || !report.OK() || len(report.Moved) != 2 {
		t.Errorf("together: %+v, %v", report, err)
	}
}
