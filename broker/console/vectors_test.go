package console_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

var update = flag.Bool("update", false, "write the vectors of the page's proofs anew")

// vectors are proofs as the broker makes them, by which the page's own checking is tested.
type vectors struct {
	Key       string           `json:"key"`
	Stranger  string           `json:"stranger"` // another key, of the same name
	Rotations []audit.Rotation `json:"rotations"`
	Newest    string           `json:"newest"` // the key after them
	Forged    audit.Rotation   `json:"forged"` // by the stranger
	Records   []vector         `json:"records"`
	Payloads  []payload        `json:"payloads"`
	Intents   []audit.Intent   `json:"intents"` // each with its call digest
}

type payload struct {
	Salt       []byte           `json:"salt"`
	Body       string           `json:"body"`
	Commitment audit.Commitment `json:"commitment"`
}

type vector struct {
	Position   string      `json:"position"`
	Record     string      `json:"record"`
	Size       int64       `json:"size"`
	Proof      []tlog.Hash `json:"proof"`
	Checkpoint string      `json:"checkpoint"`
}

// keyOf is always the same key for a seed.
func keyOf(t *testing.T, seed string) *seal.Key {
	t.Helper()
	secret := sha256.Sum256([]byte(seed))
	private := ed25519.NewKeyFromSeed(secret[:])
	public, ok := private.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("not an Ed25519 key")
	}
	sum := sha256.Sum256(append([]byte("deed/acme\n\x01"), public...))
	key, err := seal.ParseKey("PRIVATE+KEY+deed/acme+" + hex.EncodeToString(sum[:4]) + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, secret[:]...)))
	must(t, err)
	return key
}

// hashes are those of a tree in memory.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = h[at]
	}
	return out, nil
}

// TestVectors holds what the tests in jstest read against what the broker's own code makes.
func TestVectors(t *testing.T) {
	t.Parallel()
	const log = "payments/calls"
	first, second, third, stranger := keyOf(t, "first"), keyOf(t, "second"), keyOf(t, "third"), keyOf(t, "stranger")
	v := vectors{Key: first.Verifier().String(), Stranger: stranger.Verifier().String(), Newest: third.Verifier().String()}
	for _, r := range []struct{ from, to *seal.Key }{{first, second}, {second, third}} {
		rotation, err := r.from.HandOver(r.to.Verifier())
		must(t, err)
		v.Rotations = append(v.Rotations, rotation)
	}
	var err error
	v.Forged, err = stranger.HandOver(third.Verifier())
	must(t, err)
	v.Forged.Old = v.Key

	var tree hashes
	const most = 13
	for i := range int64(most) {
		record := fmt.Sprintf(`{"id":"%d","text":"é \u2028 %[1]d"}`, i)
		more, err := tlog.StoredHashes(i, []byte(record), tree)
		must(t, err)
		tree = append(tree, more...)
	}
	for _, size := range []int64{1, 2, 7, 8, most} {
		root, err := tlog.TreeHash(size, tree)
		must(t, err)
		note, err := first.Sign(seal.Checkpoint{Tenant: "acme", Log: log, Size: size, Root: root})
		must(t, err)
		for i := range size {
			proof, err := seal.ProveInclusion(log, i, size, tree)
			must(t, err)
			record := fmt.Sprintf(`{"id":"%d","text":"é \u2028 %[1]d"}`, i)
			v.Records = append(v.Records, vector{Position: fmt.Sprintf("%s@%d", log, i), Record: record, Size: size, Proof: proof.Path, Checkpoint: note})
		}
	}
	for i, body := range []string{`{}`, `{"amount":1.50,"note":"é \u2028 🔒"}`, `"why <b>not</b>"`} {
		p := audit.Payload{Salt: bytes.Repeat([]byte{byte(i)}, audit.SaltBytes), Body: []byte(body), MediaType: "application/json"}
		v.Payloads = append(v.Payloads, payload{p.Salt, body, p.Commitment()})
	}
	for i, name := range []string{"alice", "<a> & \u2028\u2029 \"é\" \\ \b\x01\x7f"} {
		in := audit.Intent{Tool: "payments.refund", Definition: "d", Arguments: v.Payloads[i].Commitment, Identity: audit.Identity{Issuer: "https://idp.example", Principal: name}}
		for _, redacted := range []*audit.Redaction{nil, {Exact: v.Payloads[2].Commitment}} {
			in.Redacted = redacted
			in.Identity.Chain = append(in.Identity.Chain, audit.Actor{ID: "agent of " + name})
			in.Digest = audit.CallDigest(in)
			v.Intents = append(v.Intents, in)
		}
	}
	got, err := json.MarshalIndent(v, "", " ")
	must(t, err)
	const file = "jstest/proofs.json"
	if *update {
		must(t, os.WriteFile(file, append(got, '\n'), 0o600))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
