package seal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKey(tb testing.TB, tenant string) *seal.Key {
	tb.Helper()
	k, err := seal.CreateKey(filepath.Join(tb.TempDir(), "keys", "key"), tenant)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// tree is a tree in memory.
type tree struct {
	stored [][]byte
	hashes []tlog.Hash
}

func (m *tree) add(t interface{ Fatal(...any) }, stored []byte) {
	hashes, err := tlog.StoredHashes(int64(len(m.stored)), stored, m)
	if err != nil {
		t.Fatal(err)
	}
	m.hashes = append(m.hashes, hashes...)
	m.stored = append(m.stored, stored)
}

// ReadHashes makes the tree a tlog.HashReader.
func (m *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(m.hashes)) {
			return nil, fmt.Errorf("there is no hash %d", index)
		}
		out[i] = m.hashes[index]
	}
	return out, nil
}

func (m *tree) at(t interface{ Fatal(...any) }, size int64) seal.Checkpoint {
	root, err := tlog.TreeHash(size, m)
	if err != nil {
		t.Fatal(err)
	}
	return seal.Checkpoint{Tenant: "acme", Log: "payments/calls", Size: size, Root: root}
}

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "seal.key")
	made, err := seal.LoadOrCreateKey(path, "acme")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := seal.LoadOrCreateKey(path, "acme")
	if err != nil || loaded.Verifier().String() != made.Verifier().String() {
		t.Errorf("loaded %q (%v), made was %q", loaded.Verifier(), err, made.Verifier())
	}
	if _, err := note.NewVerifier(made.Verifier().String()); err != nil || made.Verifier().Name() != "deed/acme" {
		t.Errorf("verifier key %q of %s: %v", made.Verifier(), made.Verifier().Name(), err)
	}
	if _, err := seal.CreateKey(path, "acme"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a key: %v, want fs.ErrExist", err)
	}
	if _, err := seal.LoadOrCreateKey(path, "other"); err == nil {
		t.Error("another tenant's key was loaded")
	}
	for target, mode := range map[string]fs.FileMode{path: 0o640, filepath.Dir(path): 0o750} {
		before, err := os.Stat(target)
		if err != nil {
			t.Fatal(err)
		}
		if before.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s was made with mode %v", target, before.Mode())
		}
		if err := os.Chmod(target, mode); err != nil {
			t.Fatal(err)
		}
		_, err = seal.LoadKey(path)
		if loose, ok := errors.AsType[*seal.PermissionError](err); !ok || loose.Path != target || loose.Mode != mode {
			t.Errorf("load with %s of mode %v: %v, want a PermissionError", target, mode, err)
		}
		if err := os.Chmod(target, before.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestCheckpointIsC2SP(t *testing.T) {
	t.Parallel()
	key := newKey(t, "acme")
	c := seal.Checkpoint{Tenant: "acme", Log: "payments/calls", Size: 17, Root: tlog.RecordHash([]byte("x"))}
	signed, err := key.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(verifier)) // as any client of the format does
	if err != nil {
		t.Fatal(err)
	}
	if want := "deed/acme/payments/calls\n17\nPH6byTDck/AfppmF7yQtn56GHzxTVaokzl70tLinDMs=\n"; n.Text != want {
		t.Errorf("body is %q, want %q", n.Text, want)
	}
	got, by, err := seal.OpenCheckpoint(signed, newKey(t, "acme").Verifier(), key.Verifier())
	if err != nil || got != c || by.String() != key.Verifier().String() {
		t.Errorf("opened %+v by %s: %v", got, by, err)
	}
}

func TestCheckpointsThatDoNotVerify(t *testing.T) {
	t.Parallel()
	key, other := newKey(t, "acme"), newKey(t, "other")
	c := seal.Checkpoint{Tenant: "acme", Log: "payments/calls", Size: 17}
	signed, err := key.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(signed) {
		changed := []byte(signed)
		changed[i] ^= 1
		// The last base64 digit has bits that mean nothing; all others do.
		got, _, err := seal.OpenCheckpoint(string(changed), key.Verifier())
		if err == nil && (got != c || i < len(signed)-3) {
			t.Errorf("byte %d flipped, and it still opens", i)
		}
	}
	for name, keys := range map[string][]seal.Verifier{"no key": nil, "zero key": {{}}, "another's key": {other.Verifier()}} {
		if _, _, err := seal.OpenCheckpoint(signed, keys...); !errors.Is(err, seal.ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", name, err)
		}
	}
	if _, err := other.Sign(c); err == nil {
		t.Error("a key signed for another tenant")
	}
	for _, bad := range []seal.Checkpoint{
		{Tenant: "acme", Log: "calls"},
		{Tenant: "acme", Log: "a/b/c/d"},
		{Tenant: "acme", Log: "a\n/b"},
		{Tenant: "acme", Log: "a/b", Size: -1},
		{Tenant: "acme", Log: "/"},
	} {
		if _, err := key.Sign(bad); err == nil {
			t.Errorf("signed %+v", bad)
		}
	}
	if _, _, err := seal.OpenEvent(audit.Checkpoint{Log: "payments/calls", Size: 18, Note: signed}, key.Verifier()); err == nil {
		t.Error("an event that says another size than its note was opened")
	}
}

// Whatever the tree: every honest proof holds, and none holds for another record,
// index, size or root.
func TestProofs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &tree{}
		n := rapid.IntRange(1, 70).Draw(rt, "size")
		for i := range n {
			m.add(rt, fmt.Appendf(nil, "record %d", i))
		}
		size := rapid.Int64Range(1, int64(n)).Draw(rt, "signed")
		index := rapid.Int64Range(0, size-1).Draw(rt, "index")
		checkInclusion(rt, m, index, size)
		checkConsistency(rt, m, rapid.Int64Range(0, size).Draw(rt, "from"), size)
	})
}

func checkInclusion(rt *rapid.T, m *tree, index, size int64) {
	c := m.at(rt, size)
	p, err := seal.ProveInclusion(c.Log, index, size, m)
	if err != nil {
		rt.Fatal(err)
	}
	if err := p.Check(c, m.stored[index]); err != nil {
		rt.Fatalf("an honest proof: %v", err)
	}
	fails := func(what string, p seal.Inclusion, c seal.Checkpoint, stored []byte) {
		if err := p.Check(c, stored); !errors.Is(err, seal.ErrProof) {
			rt.Fatalf("%s: %v, want ErrProof", what, err)
		}
	}
	fails("another record", p, c, []byte("forged"))
	elsewhere := p
	elsewhere.Index++
	fails("another index", elsewhere, c, m.stored[index])
	root := c
	root.Root[rapid.IntRange(0, 31).Draw(rt, "byte")] ^= 1
	fails("another root", p, root, m.stored[index])
	other := c
	other.Log = "source/calls"
	fails("another log", p, other, m.stored[index])
	longer := p
	longer.Path = append(append([]tlog.Hash{}, p.Path...), tlog.Hash{})
	fails("a longer path", longer, c, m.stored[index])
	if len(p.Path) > 0 {
		bent := p
		bent.Path = append([]tlog.Hash{}, p.Path...)
		bent.Path[rapid.IntRange(0, len(p.Path)-1).Draw(rt, "node")][0] ^= 1
		fails("another path", bent, c, m.stored[index])
	}
}

func checkConsistency(rt *rapid.T, m *tree, from, to int64) {
	earlier, later := m.at(rt, from), m.at(rt, to)
	p, err := seal.ProveConsistency(later.Log, from, to, m)
	if err != nil {
		rt.Fatal(err)
	}
	if err := p.Check(earlier, later); err != nil {
		rt.Fatalf("an honest proof from %d to %d: %v", from, to, err)
	}
	bent := earlier
	bent.Root[0] ^= 1
	if err := p.Check(bent, later); !errors.Is(err, seal.ErrProof) {
		rt.Fatalf("another earlier root from %d to %d: %v, want ErrProof", from, to, err)
	}
	if from > 0 {
		bent = later
		bent.Root[0] ^= 1
		if err := p.Check(earlier, bent); !errors.Is(err, seal.ErrProof) {
			rt.Fatalf("another later root from %d to %d: %v, want ErrProof", from, to, err)
		}
	}
	if err := p.Check(later, earlier); from != to && !errors.Is(err, seal.ErrProof) {
		rt.Fatalf("swapped: %v, want ErrProof", err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	first, second, stranger := newKey(t, "acme"), newKey(t, "acme"), newKey(t, "acme")
	r, err := first.HandOver(second.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	got, err := seal.OpenRotation(r, first.Verifier())
	if err != nil || got.String() != second.Verifier().String() {
		t.Errorf("handed over to %s: %v", got, err)
	}
	forged, err := stranger.HandOver(second.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	toStranger, posing := r, forged
	toStranger.New = stranger.Verifier().String()
	posing.Old = first.Verifier().String()
	for name, bad := range map[string]audit.Rotation{
		"by a key that is not in force": forged, "to another than signed": toStranger,
		"signed by another than it says": posing, "empty": {}, "no note": {Old: r.Old, New: r.New},
	} {
		if _, err := seal.OpenRotation(bad, first.Verifier()); err == nil {
			t.Errorf("a rotation %s was accepted", name)
		}
	}
	for name, to := range map[string]seal.Verifier{"itself": first.Verifier(), "nobody": {}, "another tenant": newKey(t, "other").Verifier()} {
		if _, err := first.HandOver(to); err == nil {
			t.Errorf("a key handed over to %s", name)
		}
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	key := newKey(f, "acme")
	signed, err := key.Sign(seal.Checkpoint{Tenant: "acme", Log: "payments/calls", Size: 17})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add(strings.Replace(signed, "17", "18", 1))
	f.Add("deed/acme/payments/calls\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— deed/acme AAAA\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := seal.OpenCheckpoint(text, key.Verifier())
		if err == nil && !strings.HasPrefix(text, c.Text()+"\n") {
			t.Errorf("opened %+v from another text", c)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add(newKey(f, "acme").Verifier().String())
	f.Add("PRIVATE+KEY+deed/acme+00000000+AQ==")
	f.Add("deed/acme+00000000+AQ==")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := seal.ParseVerifier(text); err == nil && (v.String() != strings.TrimSpace(text) || v.Name() == "") {
			t.Errorf("parsed %q as %q", text, v)
		}
		if k, err := seal.ParseKey(text); err == nil {
			if _, err := seal.ParseVerifier(k.Verifier().String()); err != nil {
				t.Errorf("a key without a verifier key: %v", err)
			}
		} else if len(text) > 20 && strings.Contains(err.Error(), text[len(text)/2:]) {
			t.Error("the error shows the key")
		}
	})
}
