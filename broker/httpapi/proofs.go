package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker"
)

// Checkpoint is the last signed statement of a log's size and root hash.
type Checkpoint struct {
	Log  string `json:"log"`
	Size int64  `json:"size"`
	Note string `json:"note"` // C2SP tlog-checkpoint, a signed note
	// Witnessed is the newest one, it may be older, that witnesses have signed too.
	Witnessed string `json:"witnessed,omitempty"`
}

// Inclusion proves that a record is in a log (RFC 6962 section 2.1.1).
type Inclusion struct {
	Position   string      `json:"position"`
	LeafHash   tlog.Hash   `json:"leaf_hash"` // base64
	Size       int64       `json:"size"`      // of the tree in the checkpoint
	Proof      []tlog.Hash `json:"proof"`
	Checkpoint string      `json:"checkpoint"` // the signed note
}

// Consistency proves that a log only grew (RFC 6962 section 2.1.2).
type Consistency struct {
	Log   string      `json:"log"`
	From  int64       `json:"from"`
	To    int64       `json:"to"`
	Proof []tlog.Hash `json:"proof"`
}

// Keys are those that checkpoints are signed with. Who trusts one of them, and has it from
// elsewhere, follows the rotations from it to the one that signs now.
type Keys struct {
	Key       string        `json:"key"`       // verifier key: name+hash+base64
	Rotations []KeyRotation `json:"rotations"` // the oldest first
}

// KeyRotation gives the place of a key to another.
type KeyRotation struct {
	Old  string `json:"old"`
	New  string `json:"new"`
	Note string `json:"note"` // a signed note by the old key over the new one
}

// NewKeyRotation is the body of POST /v1/keys/rotations.
type NewKeyRotation struct {
	Reason string `json:"reason"`
}

// showKeys serves GET /v1/keys.
func (a *api) showKeys(w http.ResponseWriter, r *http.Request, _ *viewer) error {
	if err := parse(r.URL.RawQuery).err; err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, a.keys())
	return nil
}

func (a *api) keys() Keys {
	k := Keys{Key: a.cfg.Sealer.Verifier().String(), Rotations: []KeyRotation{}}
	for _, r := range a.cfg.Broker.KeyRotations() {
		k.Rotations = append(k.Rotations, KeyRotation{Old: r.Old, New: r.New, Note: r.Note})
	}
	return k
}

// rotateKey serves POST /v1/keys/rotations.
func (a *api) rotateKey(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body NewKeyRotation
	if err := decode(r, &body); err != nil {
		return err
	}
	if err := checkReason(body.Reason); err != nil {
		return err
	}
	if err := a.cfg.Broker.RotateKey(r.Context(), v.id, body.Reason); err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, a.keys())
	return nil
}

// showCheckpoint serves GET /v1/checkpoint?log=, or the list of all without one.
func (a *api) showCheckpoint(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "log")
	if p.err != nil {
		return p.err
	}
	if log := p.text("log"); log != "" {
		note, c, err := a.latest(v, log)
		if err != nil {
			return err
		}
		write(w, http.StatusOK, mediaJSON, a.checkpoint(note, c))
		return nil
	}
	sizes, err := a.cfg.Log.Sizes(r.Context())
	if err != nil {
		return fmt.Errorf("list checkpoints: %w", err)
	}
	list := List[Checkpoint]{Items: []Checkpoint{}}
	for _, log := range slices.Sorted(maps.Keys(sizes)) {
		if note, c, err := a.latest(v, log); err == nil {
			list.Items = append(list.Items, a.checkpoint(note, c))
		}
	}
	write(w, http.StatusOK, mediaJSON, list)
	return nil
}

func (a *api) checkpoint(note string, c seal.Checkpoint) Checkpoint {
	witnessed, _, _ := a.cfg.Sealer.Witnessed(c.Log)
	return Checkpoint{Log: c.Log, Size: c.Size, Note: note, Witnessed: witnessed}
}

// latest is the last checkpoint of a log that the viewer may read.
func (a *api) latest(v *viewer, log string) (string, seal.Checkpoint, error) {
	domain, _, _ := strings.Cut(log, "/")
	const none = "there is no log of this name that you may read"
	if domain == "" {
		return "", seal.Checkpoint{}, notFound(none)
	}
	if !v.mayReadDomain(domain) {
		return "", seal.Checkpoint{}, withheld(none)
	}
	note, c, ok := a.cfg.Sealer.Latest(log)
	if !ok {
		return "", seal.Checkpoint{}, notFound("this log has no checkpoint yet")
	}
	return note, c, nil
}

// proveInclusion serves GET /v1/proof/inclusion?position=, for those who may read the
// record's domain, or the call that it is about.
func (a *api) proveInclusion(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "position")
	if p.err != nil {
		return p.err
	}
	at, err := audit.ParsePosition(p.text("position"))
	if err != nil {
		return invalid("position must have a form like payments/calls@17")
	}
	record, err := a.readable(r.Context(), v, at)
	if err != nil {
		return err
	}
	note, c, ok := a.cfg.Sealer.Latest(at.Log)
	if !ok || at.Index >= c.Size {
		return &broker.Error{Kind: broker.Conflict, Op: "prove inclusion", Retry: time.Second, Public: "the record is not sealed yet: ask again in a second"}
	}
	proof, err := seal.ProveInclusion(at.Log, at.Index, c.Size, a.cfg.Log.Hashes(r.Context(), at.Log))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, Inclusion{
		Position: at.String(), LeafHash: tlog.RecordHash(record.Stored), Size: c.Size, Proof: proof.Path, Checkpoint: note,
	})
	return nil
}

// readable is the record at a place, if the viewer may read it.
func (a *api) readable(ctx context.Context, v *viewer, at audit.Position) (audit.Record, error) {
	const none = "there is no record at this position that you may read"
	record, err := a.cfg.Log.Record(ctx, at)
	if errors.Is(err, audit.ErrNotFound) {
		return record, notFound(none)
	}
	if err != nil {
		return record, fmt.Errorf("prove inclusion: %w", err)
	}
	domain, topic, _ := audit.SplitLog(at.Log)
	if v.mayReadDomain(domain) {
		return record, nil
	}
	head, err := audit.Peek(record.Stored)
	if err != nil || topic != audit.TopicCalls {
		return record, withheld(none)
	}
	f, err := a.find(ctx, v, head.Subject)
	if err != nil || !v.mayRead(broker.SubjectOf(f.call)) {
		return record, withheld(none)
	}
	return record, nil
}

// proveConsistency serves GET /v1/proof/consistency?log=&from=&to=. Without to, it is
// the size in the last checkpoint.
func (a *api) proveConsistency(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "log", "from", "to")
	from, to := p.number("from", 0, -1), p.number("to", 0, -1)
	if p.err != nil {
		return p.err
	}
	log := p.text("log")
	if log == "" || from < 0 {
		return invalid("log and from are required")
	}
	_, c, err := a.latest(v, log)
	if err != nil {
		return err
	}
	if to < 0 {
		to = c.Size
	}
	sizes, err := a.cfg.Log.Sizes(r.Context())
	if err != nil {
		return fmt.Errorf("prove consistency: %w", err)
	}
	if from > to || to > sizes[log] {
		return invalid("from must be at most to, and to at most %d, the log's size", sizes[log])
	}
	proof, err := seal.ProveConsistency(log, from, to, a.cfg.Log.Hashes(r.Context(), log))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, Consistency{Log: log, From: from, To: to, Proof: proof.Path})
	return nil
}
