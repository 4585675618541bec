package archive_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

const callsLog = audittest.Domain + "/calls"

// retire archives the records of the minutes before one, and removes them on record.
func retire(t *testing.T, l *embedded.Log, store archive.Store, minute int, trust verify.Options) {
	t.Helper()
	_, report, err := archive.Create(t.Context(), store, l, pack.Options{Until: start.Add(time.Duration(minute) * time.Minute), Made: start}, trust)
	if err != nil || !report.OK() {
		t.Fatalf("%+v, %v", report, err)
	}
	to := int64(2 * minute)
	first, err := l.Oldest(t.Context(), callsLog)
	must(t, err)
	root, err := tlog.TreeHash(to, l.Hashes(t.Context(), callsLog))
	must(t, err)
	e := audittest.NewEvent(audit.RecordsRemoved, "", audit.Removal{
		Log: callsLog, From: first, To: to, Before: start, Root: base64.StdEncoding.EncodeToString(root[:]), Archive: "there", Reason: "retention 1y of domain payments",
	})
	e.Time = start
	_, err = l.Append(t.Context(), e)
	must(t, err)
	must(t, l.Remove(t.Context(), callsLog, to))
}

// parted is a history of which the first twelve of 24 records are in two archives.
func parted(t *testing.T) (data string, places []string, trust verify.Options) {
	t.Helper()
	data = t.TempDir()
	l, trust := historyIn(t, data, 12)
	dir := t.TempDir()
	for n, minute := range []int{3, 6} {
		places = append(places, filepath.Join(dir, fmt.Sprint(n)))
		retire(t, l, archive.Dir(places[n]), minute, trust)
	}
	return data, places, trust
}

func joined(t *testing.T, data string, trust verify.Options, places ...string) *verify.Report {
	t.Helper()
	reader, err := embedded.OpenReadOnly(t.Context(), data)
	must(t, err)
	defer reader.Close() //nolint:errcheck // it was only read
	var kept []archive.Kept
	for _, place := range places {
		p, err := archive.Open(t.Context(), archive.Dir(place))
		must(t, err)
		defer p.Close() //nolint:errcheck // it was only read
		kept = append(kept, archive.Kept{Pack: p, Place: place})
	}
	report, err := archive.VerifyJoined(t.Context(), reader, kept, trust)
	must(t, err)
	return report
}

func TestArchivesAndWhatIsLeftAreOneHistory(t *testing.T) {
	t.Parallel()
	data, places, trust := parted(t)
	for name, tt := range map[string]struct {
		places            []string
		calls             int64
		removed, archived int64
	}{
		"all":          {places, 12, 0, 12},
		"the earlier":  {places[:1], 9, 6, 6},
		"the later":    {places[1:], 9, 6, 6},
		"one twice":    {[]string{places[1], places[0], places[1]}, 12, 0, 12},
		"none of them": {nil, 6, 12, 0},
	} {
		r := joined(t, data, trust, tt.places...)
		i := slices.IndexFunc(r.Logs, func(l verify.LogReport) bool { return l.Log == callsLog })
		if !r.OK() || r.Calls != tt.calls || r.Logs[i].Removed != tt.removed || r.Logs[i].Archived != tt.archived || r.Logs[i].Root == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// change rewrites an archive's records of a log.
func change(t *testing.T, place string, edit func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(place, "logs", callsLog+".ndjson.zst")
	packed, err := os.ReadFile(path)
	must(t, err)
	in, err := zstd.NewReader(nil)
	must(t, err)
	defer in.Close()
	text, err := in.DecodeAll(packed, nil)
	must(t, err)
	changed := edit(bytes.Clone(text))
	if bytes.Equal(changed, text) {
		t.Fatal("nothing was changed")
	}
	out, err := zstd.NewWriter(nil)
	must(t, err)
	must(t, os.WriteFile(path, out.EncodeAll(changed, nil), 0o600))
	must(t, out.Close())
}

func TestArchivesThatDoNotFitWhatIsLeftAreFound(t *testing.T) {
	t.Parallel()
	_, otherPlaces, _ := parted(t)
	for name, tamper := range map[string]func(t *testing.T, places []string) []string{
		"a byte changed": func(t *testing.T, places []string) []string {
			t.Helper()
			change(t, places[1], func(b []byte) []byte { return bytes.Replace(b, []byte(`"alice"`), []byte(`"alicf"`), 1) })
			return places
		},
		"a record taken out": func(t *testing.T, places []string) []string {
			t.Helper()
			change(t, places[0], func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] })
			return places
		},
		"of another history": func(_ *testing.T, places []string) []string {
			return []string{otherPlaces[0], places[1]}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, places, trust := parted(t)
			if r := joined(t, data, trust, tamper(t, places)...); r.OK() {
				t.Errorf("it passes: %+v", r)
			}
		})
	}
}

// An archive that verifies by itself, under the same key, and is of a history that went
// another way, is no part of this one.
func TestAnArchiveOfAForkIsFound(t *testing.T) {
	t.Parallel()
	data, places, trust := parted(t)
	key, err := seal.LoadOrCreateKey(filepath.Join(data, "keys", "key"), audittest.Tenant)
	must(t, err)
	fork, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{ReserveBytes: 1 << 20})
	must(t, err)
	defer func() { must(t, fork.Close()) }()
	sealer, err := seal.NewSealer(seal.Config{Log: fork, Trees: fork, Key: key, Tenant: audittest.Tenant, Source: audittest.Source})
	must(t, err)
	started := audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: key.Verifier().String()})
	started.Time = start
	_, err = fork.Append(t.Context(), started)
	must(t, err)
	for range 3 {
		id := audittest.NewID()
		for _, e := range []audit.Event{audittest.Intent(id, `{}`), audittest.Result(id, `{}`)} {
			e.Time = start
			_, err := fork.Append(t.Context(), e)
			must(t, err)
		}
	}
	must(t, sealer.Seal(t.Context()))
	place := filepath.Join(t.TempDir(), "fork")
	_, report, err := archive.Create(t.Context(), archive.Dir(place), fork, pack.Options{Made: start}, trust)
	if err != nil || !report.OK() {
		t.Fatalf("by itself: %+v, %v", report, err)
	}
	r := joined(t, data, trust, place, places[1])
	if r.OK() || !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return strings.Contains(f.Expected, "as the kept checkpoint says") }) {
		t.Errorf("a fork passes: %+v", r)
	}
}
