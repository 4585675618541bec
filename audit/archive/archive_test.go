package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/archive/s3"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// start is after the ids of all calls were made.
var start = time.Now().UTC().Add(10 * time.Minute)

// history is a sealed log with a call a minute.
func history(t *testing.T, calls int) (*embedded.Log, verify.Options) {
	t.Helper()
	return historyIn(t, t.TempDir(), calls)
}

func historyIn(t *testing.T, dir string, calls int) (*embedded.Log, verify.Options) {
	t.Helper()
	l, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	key, err := seal.CreateKey(filepath.Join(dir, "keys", "key"), audittest.Tenant)
	must(t, err)
	sealer, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: key, Tenant: audittest.Tenant, Source: audittest.Source})
	must(t, err)
	store := func(minute int, e audit.Event) {
		e.Time = start.Add(time.Duration(minute) * time.Minute)
		_, err := l.Append(t.Context(), e)
		must(t, err)
	}
	store(0, audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: key.Verifier().String()}))
	for n := range calls {
		id := audittest.NewID()
		store(n, audittest.Intent(id, fmt.Sprintf(`{"amount":%d}`, n)))
		store(n, audittest.Result(id, `{"ok":true}`))
		if n%3 == 2 {
			must(t, sealer.Seal(t.Context()))
		}
	}
	must(t, sealer.Seal(t.Context()))
	return l, verify.Options{Keys: []seal.Verifier{key.Verifier()}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bucket is a store in a server that speaks S3.
func bucket(t *testing.T) archive.Store {
	t.Helper()
	backend := s3mem.New()
	must(t, backend.CreateBucket("acme"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	store, err := s3.New("s3://acme/deed/2026", s3.Options{Endpoint: server.URL, Region: "us-east-1"})
	must(t, err)
	return store
}

func TestArchivesProveThemselves(t *testing.T) {
	l, trust := history(t, 12)
	for name, store := range map[string]archive.Store{"files": archive.Dir(filepath.Join(t.TempDir(), "archive")), "s3": bucket(t)} {
		t.Run(name, func(t *testing.T) {
			if _, err := archive.Open(t.Context(), store); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("before there is one: %v", err)
			}
			options := pack.Options{Since: start.Add(3 * time.Minute), Until: start.Add(9 * time.Minute), Made: start}
			m, report, err := archive.Create(t.Context(), store, l, options, trust)
			if err != nil || !report.OK() || report.Calls != 6 || report.OpenCalls != 0 || report.Withheld != 12 {
				t.Fatalf("created %+v: %+v, %v", m, report, err)
			}
			if _, _, err := archive.Create(t.Context(), store, l, options, trust); !errors.Is(err, archive.ErrThere) {
				t.Errorf("over another: %v", err)
			}
			other, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), audittest.Tenant)
			must(t, err)
			if report, err := archive.Verify(t.Context(), store, verify.Options{Keys: []seal.Verifier{other.Verifier()}}); err != nil || report.OK() {
				t.Errorf("by another key: %v", err)
			}
			p, err := archive.Open(t.Context(), store)
			must(t, err)
			defer p.Close() //nolint:errcheck // it was only read
			at := audit.Position{Log: audittest.Domain + "/calls", Index: 8}
			want, err := l.Record(t.Context(), at)
			must(t, err)
			if got, err := p.Record(t.Context(), at); err != nil || string(got.Stored) != string(want.Stored) {
				t.Errorf("a record: %s, %v", got.Stored, err)
			}
		})
	}
}

func TestABucketThatIsNotThereIsToldOf(t *testing.T) {
	l, trust := history(t, 1)
	_ = bucket(t)
	server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	defer server.Close()
	store, err := s3.New("s3://nobody/x", s3.Options{Endpoint: server.URL, Region: "us-east-1"})
	must(t, err)
	if _, _, err := archive.Create(t.Context(), store, l, pack.Options{Made: start}, trust); err == nil {
		t.Error("an archive was made in no bucket")
	}
	for _, place := range []string{"s3://", "s3://u:p@acme", "https://acme"} {
		if _, err := s3.New(place, s3.Options{}); err == nil {
			t.Errorf("%s is a place", place)
		}
	}
	for _, endpoint := range []string{"http://s3.example", "s3.example", "https://s3.example/path"} {
		if _, err := s3.New("s3://acme", s3.Options{Endpoint: endpoint}); err == nil {
			t.Errorf("%s is an endpoint", endpoint)
		}
	}
}

// same reports whether an archive has the records of a log, byte for byte.
func same(ctx context.Context, store archive.Store, l *embedded.Log) bool {
	p, err := archive.Open(ctx, store)
	if err != nil {
		return false
	}
	defer p.Close() //nolint:errcheck // it was only read
	for got, err := range p.Read(ctx, "") {
		if err != nil {
			return false
		}
		if want, err := l.Record(ctx, got.Position); err != nil || string(got.Stored) != string(want.Stored) {
			return false
		}
	}
	return true
}

// Whatever is changed, cut or taken away of an archive: if it verifies, it has the
// records of the log.
func TestNoChangeOfAnArchivePasses(t *testing.T) {
	t.Parallel()
	l, trust := history(t, 6)
	dir := t.TempDir()
	_, report, err := archive.Create(t.Context(), archive.Dir(dir), l, pack.Options{Made: start}, trust)
	if err != nil || !report.OK() {
		t.Fatalf("%+v, %v", report, err)
	}
	var files []string
	must(t, filepath.WalkDir(filepath.Join(dir, "logs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "checkpoints.ndjson.zst" { // of these, what counts is signed
			files = append(files, path)
		}
		return err
	}))
	passes := func(ctx context.Context) bool {
		report, err := archive.Verify(ctx, archive.Dir(dir), trust)
		return err == nil && report.OK()
	}
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(files).Draw(t, "file")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := append([]byte(nil), text...)
		switch rapid.SampledFrom([]string{"flip", "cut", "remove"}).Draw(t, "change") {
		case "flip":
			bit := rapid.IntRange(0, len(text)*8-1).Draw(t, "bit")
			changed[bit/8] ^= 1 << (bit % 8)
			err = os.WriteFile(path, changed, 0o600)
		case "cut":
			err = os.WriteFile(path, text[:rapid.IntRange(0, len(text)-1).Draw(t, "length")], 0o600)
		default:
			err = os.Remove(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		passed := passes(t.Context())
		still := passed && same(t.Context(), archive.Dir(dir), l) // some bits of the compressed form say nothing
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if passed && !still {
			t.Fatalf("%s passes", path)
		}
	})
	if !passes(t.Context()) {
		t.Error("as it was, it does not pass")
	}
}
