package pack_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is after the ids of all calls were made.
var start = time.Now().UTC().Add(10 * time.Minute)

// history is an embedded log with a call a minute, sealed after each third, and one
// that was opened in the second minute and closed in the eighth.
func history(t *testing.T) (*embedded.Log, *seal.Key) {
	t.Helper()
	dir := t.TempDir()
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
	policy := audit.NewPayload(audit.PayloadPolicy, []byte(`{"a.cedar":"permit(principal, action, resource);"}`))
	set := intentOf(t, audittest.Intent(audittest.NewID(), `{}`)).Decision.PolicySet
	store(0, audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: key.Verifier().String()}))
	store(0, audittest.NewEvent(audit.PolicyActivated, "", audit.Activation{PolicySet: set, Files: []string{"a.cedar"}, Text: policy.Commitment()}, policy))
	long := audittest.NewID()
	for n := range 12 {
		id := audittest.NewID()
		intent := audittest.Intent(id, fmt.Sprintf(`{"amount":%d}`, n))
		if n == 7 {
			intent = justified(t, intent, `"because"`)
		}
		store(n, intent)
		if n == 2 {
			store(n, audittest.Intent(long, `{"amount":-1}`))
		}
		store(n, audittest.Result(id, fmt.Sprintf(`{"text":"answer %d"}`, n)))
		if n == 8 {
			store(n, audittest.Result(long, `{"text":"at last"}`))
		}
		if n%3 == 2 {
			must(t, sealer.Seal(t.Context()))
		}
	}
	return l, key
}

// justified is an intent that says why.
func justified(t *testing.T, e audit.Event, why string) audit.Event {
	t.Helper()
	in, said := intentOf(t, e), audit.NewPayload(audit.PayloadJustification, []byte(why))
	commitment := said.Commitment()
	in.Justification = &commitment
	return audittest.NewEvent(audit.CallIntent, e.Subject, in, append(e.Payloads, said)...)
}

func intentOf(t *testing.T, e audit.Event) audit.Intent {
	t.Helper()
	in, err := audit.DataOf[audit.Intent](e)
	must(t, err)
	return in
}

func written(t *testing.T, l *embedded.Log, o pack.Options) (string, pack.Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := pack.Write(t.Context(), &b, l, o)
	must(t, err)
	path := filepath.Join(t.TempDir(), "pack.zip")
	must(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path, m
}

func verified(t interface {
	Helper()
	Fatal(...any)
}, path string, key seal.Verifier,
) *verify.Report {
	t.Helper()
	p, err := pack.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	r, err := verify.Verify(context.Background(), p, verify.Options{Keys: []seal.Verifier{key}, Closed: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAPackProvesAWholeHistory(t *testing.T) {
	t.Parallel()
	l, key := history(t)
	path, m := written(t, l, pack.Options{Payloads: true, Extra: []pack.File{{Name: "controls.md", Body: []byte("extra")}}})
	r := verified(t, path, key.Verifier())
	if !r.OK() || r.Calls != 13 || r.Payloads != 28 || r.Withheld != 0 || r.Records != 26+2+5 {
		t.Errorf("%+v", r)
	}
	if m.Tenant != audittest.Tenant || !slices.Equal(m.Keys, []string{key.Verifier().String()}) || m.Logs[0].Log != "deed/control" {
		t.Errorf("%+v", m)
	}
	for name, want := range map[string]string{"README.md": key.Verifier().String(), "controls.md": "extra", "verify.py": "def main"} {
		if got := string(contents(t, path)[name]); !strings.Contains(got, want) {
			t.Errorf("%s has no %q", name, want)
		}
	}
}

func TestAPackOfAPeriodBeginsWithTheCallsThatWereOpen(t *testing.T) {
	t.Parallel()
	l, key := history(t)
	path, m := written(t, l, pack.Options{Since: start.Add(6 * time.Minute), Until: start.Add(8*time.Minute + time.Second), Domains: []string{audittest.Domain}})
	r := verified(t, path, key.Verifier())
	if !r.OK() || r.Withheld == 0 || r.Payloads != 1 {
		t.Errorf("%+v", r)
	}
	i := slices.IndexFunc(m.Logs, func(p pack.Part) bool { return p.Log == "payments/calls" })
	if p := m.Logs[i]; p.From != 5 || p.To != 20 || len(p.Before) != 2 {
		t.Errorf("part %+v", p)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "begins at record 5") {
		t.Error(notes)
	}
}

func TestAPackOfNothingIsRefused(t *testing.T) {
	t.Parallel()
	l, _ := history(t)
	_, err := pack.Write(t.Context(), io.Discard, l, pack.Options{Since: start.Add(24 * time.Hour), Domains: []string{"none"}, Until: start.Add(48 * time.Hour)})
	if err != nil {
		t.Fatal(err) // the control log, with its keys, is always there
	}
	empty, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{ReserveBytes: 1 << 20})
	must(t, err)
	defer func() { must(t, empty.Close()) }()
	if _, err := pack.Write(t.Context(), io.Discard, empty, pack.Options{}); err == nil {
		t.Error("a pack of an empty history was written")
	}
}

// Whatever is changed in what proves, it does not pass.
func TestNoChangeOfAPackPasses(t *testing.T) {
	t.Parallel()
	l, key := history(t)
	path, _ := written(t, l, pack.Options{Payloads: true, Since: start.Add(5 * time.Minute)})
	files := contents(t, path)
	var names []string
	for name := range files {
		if strings.HasSuffix(name, ".ndjson") && len(files[name]) > 0 && !strings.Contains(name, "checkpoints") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "file")
		changed := maps.Clone(files)
		changed[name] = tampered(t, files[name])
		if bytes.Equal(changed[name], files[name]) {
			t.Skip("no change")
		}
		path := filepath.Join(dir, "changed.zip")
		pile(t, path, changed)
		if r := verified(t, path, key.Verifier()); r.OK() {
			t.Fatalf("%s: passes: %v", name, r.Notes)
		}
	})
}

func tampered(t *rapid.T, body []byte) []byte {
	lines := bytes.SplitAfter(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
	switch rapid.SampledFrom([]string{"flip", "remove", "repeat", "cut"}).Draw(t, "what") {
	case "flip":
		line := bytes.Clone(lines[i])
		digits := bytes.IndexAny(line, "0123456789abcdef")
		at := rapid.IntRange(digits, len(line)-2).Draw(t, "byte")
		if line[at] == '0' {
			line[at] = '1'
		} else {
			line[at] = '0'
		}
		lines[i] = line
	case "remove":
		lines = slices.Delete(slices.Clone(lines), i, i+1)
	case "repeat":
		lines = slices.Insert(slices.Clone(lines), i, lines[i])
	default:
		return body[:len(body)/2]
	}
	return append(bytes.TrimSuffix(bytes.Join(lines, nil), []byte("\n")), '\n')
}

// The script in the pack agrees, with nothing but Python.
func TestThePacksOwnScriptVerifiesIt(t *testing.T) {
	t.Parallel()
	python := need.Env(t, need.Python)
	l, key := history(t)
	path, _ := written(t, l, pack.Options{Payloads: true, Since: start.Add(5 * time.Minute)})
	files := contents(t, path)
	script := filepath.Join(t.TempDir(), "verify.py")
	must(t, os.WriteFile(script, files["verify.py"], 0o600))
	run := func(path, key string) (string, error) {
		out, err := exec.CommandContext(t.Context(), python, script, path, "--key", key).CombinedOutput()
		return string(out), err
	}
	if out, err := run(path, key.Verifier().String()); err != nil || !strings.Contains(out, "verified: complete and untouched") {
		t.Fatalf("%v\n%s", err, out)
	}
	other, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), audittest.Tenant)
	must(t, err)
	if out, err := run(path, other.Verifier().String()); err == nil {
		t.Errorf("another key passes:\n%s", out)
	}
	for what, change := range map[string][3]string{
		"a record":        {"logs/payments/calls.ndjson", "alice", "alicf"},
		"arguments":       {"payloads/payments/calls.ndjson", base64.StdEncoding.EncodeToString([]byte(`{"amount":7}`)), base64.StdEncoding.EncodeToString([]byte(`{"amount":8}`))},
		"words":           {"payloads/payments/calls.ndjson", base64.StdEncoding.EncodeToString([]byte(`"because"`)), base64.StdEncoding.EncodeToString([]byte(`"becausf"`))},
		"the checkpoints": {"logs/deed/checkpoints.ndjson", "", ""},
	} {
		name, changed := change[0], maps.Clone(files)
		changed[name] = bytes.Replace(files[name], []byte(change[1]), []byte(change[2]), 1)
		if name == "logs/deed/checkpoints.ndjson" {
			lines := bytes.SplitAfter(files[name], []byte("\n"))
			changed[name] = bytes.Join(lines[:len(lines)-2], nil)
		}
		path := filepath.Join(t.TempDir(), "changed.zip")
		pile(t, path, changed)
		if out, err := run(path, key.Verifier().String()); err == nil {
			t.Errorf("%s changed: passes:\n%s", what, out)
		}
	}
}

func TestEventsExportedWholeVerify(t *testing.T) {
	t.Parallel()
	l, key := history(t)
	var b bytes.Buffer
	for r, err := range l.Read(t.Context(), "") {
		must(t, err)
		b.Write(append(bytes.Clone(r.Stored), '\n'))
	}
	path := filepath.Join(t.TempDir(), "events.ndjson")
	must(t, os.WriteFile(path, b.Bytes(), 0o600))
	check := func() *verify.Report {
		lines, err := pack.OpenLines(t.Context(), path)
		must(t, err)
		defer func() { must(t, lines.Close()) }()
		r, err := verify.Verify(t.Context(), lines, verify.Options{Keys: []seal.Verifier{key.Verifier()}})
		must(t, err)
		return r
	}
	if r := check(); !r.OK() || r.Calls != 13 || r.Withheld == 0 {
		t.Errorf("%+v", r)
	}
	must(t, os.WriteFile(path, bytes.Replace(b.Bytes(), []byte("alice"), []byte("alicf"), 1), 0o600))
	if r := check(); r.OK() {
		t.Error("a changed export passes")
	}
	must(t, os.WriteFile(path, []byte("no event\n"), 0o600))
	if _, err := pack.OpenLines(t.Context(), path); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoPackIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, manifest := range map[string]string{
		"form":  `{"format":"other"}`,
		"path":  `{"format":"deed evidence v1","logs":[{"log":"../x","to":1}]}`,
		"range": `{"format":"deed evidence v1","logs":[{"log":"a/calls","from":2,"to":1}]}`,
		"twice": `{"format":"deed evidence v1","logs":[{"log":"a/calls"},{"log":"a/calls"}]}`,
		"json":  `{`,
	} {
		path := filepath.Join(dir, name+".zip")
		pile(t, path, map[string][]byte{"manifest.json": []byte(manifest)})
		if _, err := pack.Open(path); err == nil || !strings.Contains(err.Error(), "manifest.json") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	path := filepath.Join(dir, "absent.zip")
	pile(t, path, map[string][]byte{"manifest.json": []byte(`{"format":"deed evidence v1","logs":[{"log":"a/calls","to":3}]}`)})
	p, err := pack.Open(path)
	must(t, err)
	defer func() { must(t, p.Close()) }()
	r, err := verify.Verify(t.Context(), p, verify.Options{})
	if err == nil && r.OK() {
		t.Error("a pack without its records passes")
	}
}

func contents(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	must(t, err)
	defer func() { must(t, z.Close()) }()
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		files[f.Name], err = io.ReadAll(r)
		must(t, err)
		must(t, r.Close())
	}
	return files
}

func pile(t interface {
	Helper()
	Fatal(...any)
}, path string, files map[string][]byte,
) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, body := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
