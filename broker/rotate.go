package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/policy"
)

// rotateAgain is how long a rotation for age that failed waits until it is tried again.
const rotateAgain = time.Minute

// RotateKey gives the key that seals the log its successor, for a person whom policy
// permits the action "rotate" on the broker's own domain. It returns once this replica
// signs with it. The old key signs that it is replaced, and by which: whoever trusts it
// follows.
func (b *Broker) RotateKey(ctx context.Context, by *agents.Identity, reason string) error {
	op := "rotate key"
	if err := known(op, by); err != nil {
		return err
	}
	if strings.TrimSpace(reason) == "" {
		return &Error{Kind: Invalid, Op: op, Public: "a rotation needs a reason: it is what the record will say"}
	}
	d := b.permits(by, policy.ActionRotate, policy.OnDomain{Name: audit.OwnDomain})
	if d.Effect != audit.Allow {
		return b.refuseControl(ctx, by, policy.ActionRotate, "the key of the log", d)
	}
	who := recorded(by)
	to, err := b.rotate(ctx, op, audit.Rotation{Reason: clip(reason, maxReason), By: &who, Decision: &d})
	if err != nil {
		return err
	}
	if !b.awaitFold(ctx, b.sealKeys.wait, func() bool { return b.sealKeys.follows(to) }) {
		return &Error{Kind: LogUnavailable, Op: op, Public: "the rotation is on record and not in force here yet: ask for the keys in a moment"}
	}
	return nil
}

// rotate puts a rotation on record, and returns the key that is in force once it is read back.
func (b *Broker) rotate(ctx context.Context, op string, said audit.Rotation) (to string, err error) {
	if b.cfg.Keys == nil {
		return "", &Error{Kind: Internal, Op: op, Public: "this log is not sealed"}
	}
	if !b.sealKeys.rotating.TryLock() {
		return "", &Error{Kind: Conflict, Op: op, Public: "the key is being rotated"}
	}
	defer b.sealKeys.rotating.Unlock()
	r, err := b.cfg.Keys.HandOver(!b.shared())
	if errors.Is(err, seal.ErrNoSuccessor) {
		return "", &Error{
			Kind: Conflict, Op: op, Err: err,
			Public: "several brokers share this log, and each needs the next key before it is in force: make it by `deed key stage`, put it beside the key of each, and ask again",
		}
	}
	if err != nil {
		return "", &Error{Kind: Internal, Op: op, Err: err, Public: "the next key cannot be made or read: the broker's log says why"}
	}
	r.Reason, r.By, r.Decision = said.Reason, said.By, said.Decision
	if err := b.write(ctx, audit.KeyRotated, control(), r); err != nil {
		return "", notRecorded(op, "rotation", err)
	}
	return r.New, nil
}

// rotateOld rotates a key that is older than it may get. Replicas that share a log leave it
// to a person, who brings the next key to each.
func (b *Broker) rotateOld(ctx context.Context, now time.Time) {
	_, since, ok := b.sealKeys.inForce()
	if b.cfg.KeyAge == 0 || b.shared() || !ok || now.Sub(since) < b.cfg.KeyAge || now.Before(b.sealKeys.tryAgain) {
		return
	}
	b.sealKeys.tryAgain = now.Add(rotateAgain)
	if _, err := b.rotate(ctx, "rotate key", audit.Rotation{Reason: fmt.Sprintf("the key was %s old", b.cfg.KeyAge)}); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the key of the log is old and cannot be rotated", slog.Any("error", err))
	}
}
