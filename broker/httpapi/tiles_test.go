package httpapi_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	formats "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/httpapi"
)

// sealedCalls makes calls until the log has more records than a tile, sealed.
func sealedCalls(t *testing.T) *rig {
	t.Helper()
	r := start(t)
	for n := range 140 {
		args := json.RawMessage(fmt.Sprintf(`{"text":"<%d>"}`, n))
		if _, err := r.Call(t.Context(), broker.Request{Identity: copilot, Tool: "desk.echo", Arguments: args}); err != nil {
			t.Fatal(err)
		}
	}
	must(t, r.sealer.Seal(t.Context()))
	return r
}

func body(r *rig, who, path string, status int) []byte {
	r.t.Helper()
	response := r.request(who, http.MethodGet, path, "")
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		r.t.Fatalf("%s: %s, %v: %s", path, response.Status, err, b)
	}
	return b
}

// Checkpoints, proofs and tiles are checked with transparency-dev's implementation of
// RFC 6962 and C2SP, which shares nothing with the one that made them.
func TestOthersVerifyCheckpointsProofsAndTiles(t *testing.T) {
	t.Parallel()
	r := sealedCalls(t)
	verifier, err := note.NewVerifier(r.key.Verifier().String())
	must(t, err)
	const log, base = "desk/calls", "/v1/logs/desk/calls/"
	opened, _, _, err := formats.ParseCheckpoint(body(r, "carol", base+"checkpoint", http.StatusOK), "deed/acme/"+log, verifier)
	must(t, err)
	if opened.Size != 280 {
		t.Fatalf("the checkpoint is of %d records", opened.Size)
	}
	hasher := rfc6962.DefaultHasher

	// Every record's leaf, from the tiles of entries, makes the signed root, and is in the tile of hashes.
	tree := (&compact.RangeFactory{Hash: hasher.HashChildren}).NewEmptyRange(0)
	var leaves [][]byte
	for _, tile := range []string{"000", "001.p/24"} {
		entries, hashes := body(r, "carol", base+"tile/entries/"+tile, http.StatusOK), body(r, "carol", base+"tile/0/"+tile, http.StatusOK)
		for len(entries) > 0 {
			n := binary.BigEndian.Uint16(entries)
			leaf := hasher.HashLeaf(entries[2 : 2+n])
			if string(leaf) != string(hashes[:32]) {
				t.Fatalf("leaf %d is not what the tile says", len(leaves))
			}
			must(t, tree.Append(leaf, nil))
			leaves, entries, hashes = append(leaves, leaf), entries[2+n:], hashes[32:]
		}
	}
	root, err := tree.GetRootHash(nil)
	must(t, err)
	if string(root) != string(opened.Hash) {
		t.Fatal("the tiles do not come to the signed root")
	}
	upper := body(r, "carol", base+"tile/1/000.p/1", http.StatusOK)
	if whole := (&compact.RangeFactory{Hash: hasher.HashChildren}).NewEmptyRange(0); true {
		for _, l := range leaves[:256] {
			must(t, whole.Append(l, nil))
		}
		if h, err := whole.GetRootHash(nil); err != nil || string(h) != string(upper) {
			t.Errorf("tile 1/000 is not the root of tile 0/000: %v", err)
		}
	}

	for _, index := range []uint64{0, 17, 255, 256, 279} {
		p := get[httpapi.Inclusion](r, "carol", fmt.Sprintf("/v1/proof/inclusion?position=%s@%d", log, index))
		var path [][]byte
		for _, h := range p.Proof {
			path = append(path, h[:])
		}
		if err := proof.VerifyInclusion(hasher, index, opened.Size, leaves[index], path, opened.Hash); err != nil {
			t.Errorf("inclusion of %d: %v", index, err)
		}
	}
	for _, from := range []uint64{1, 17, 128, 256, 279} {
		p := get[httpapi.Consistency](r, "carol", fmt.Sprintf("/v1/proof/consistency?log=%s&from=%d&to=280", log, from))
		var path [][]byte
		for _, h := range p.Proof {
			path = append(path, h[:])
		}
		earlier := (&compact.RangeFactory{Hash: hasher.HashChildren}).NewEmptyRange(0)
		for _, l := range leaves[:from] {
			must(t, earlier.Append(l, nil))
		}
		before, err := earlier.GetRootHash(nil)
		must(t, err)
		if err := proof.VerifyConsistency(hasher, from, 280, path, before, opened.Hash); err != nil {
			t.Errorf("consistency from %d: %v", from, err)
		}
	}
}

func TestTilesAreForReadersOfTheDomainAndOfTheSignedTree(t *testing.T) {
	t.Parallel()
	r := sealedCalls(t)
	for path, status := range map[string]int{
		"tile/0/001.p/24": 200, "tile/0/001.p/23": 200, "tile/0/001.p/25": 404, "tile/0/001": 404, "tile/1/000": 404, "tile/0/002.p/1": 404,
		"tile/0/1": 404, "tile/00/000": 404, "tile/0/x000/000": 404, "tile/9/000.p/1": 404, "tile/0/000.p/0": 404, "tile/0/000.p/256": 404,
		"tile/entries/001.p/25": 404, "tile/0/x999/x999/x999/x999/x999/999": 404, "tile": 404, "checkpoint?x=1": 400,
	} {
		body(r, "carol", "/v1/logs/desk/calls/"+path, status)
	}
	for _, who := range []string{"alice", "copilot"} {
		body(r, who, "/v1/logs/desk/calls/checkpoint", http.StatusNotFound)
		body(r, who, "/v1/logs/desk/calls/tile/entries/000", http.StatusNotFound)
	}
	body(r, "carol", "/v1/logs/other/calls/checkpoint", http.StatusNotFound)
}
