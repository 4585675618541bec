package audit

import (
	"context"
	"errors"
	"fmt"
)

// Errors of a log that several replicas write.
var (
	// ErrAlive: the replica lives, or somebody else has taken its place already.
	ErrAlive = errors.New("replica is alive")
	// ErrFenced: another replica has taken this one's place in the log. Nothing that
	// it appends from now on is stored; whether this event was stored before that,
	// only reading the log tells. A fenced replica has to stop: what it was doing was
	// closed by the other.
	ErrFenced = fmt.Errorf("%w: another replica has taken the place of this one", ErrUncertain)
)

// Fencer is a [Log] that several replicas write at once, each by a session of its
// own: the process that opened the log under the replica's name, which no other
// process can do meanwhile ([ErrLocked]). A log that is no Fencer has one writer, who
// owns everything in it.
//
// An implementation MUST pass the shared part of the suite of package audittest:
//
//  1. A session whose process is up and connected cannot be fenced: [ErrAlive].
//  2. While a [Fence] is held, nothing of the fenced replica is stored, nobody else
//     can fence it or open the log under its name, and a Read that begins meanwhile
//     yields whatever was stored of it before.
//  3. Once [Fence.Append] has returned, or the log has been opened again under the
//     replica's name, no older session of that replica ever stores an event of the
//     same subject: its Appends fail with [ErrFenced], also after the Fence is closed.
//  4. A holder that is itself fenced, or dies, holds no Fence any more: its Appends
//     through it fail with [ErrFenced].
//
// None of this may rest on a clock. How long an implementation waits before it takes
// a silent session for dead is a matter of courtesy: one that was too hasty stops a
// replica that lived, and does no other harm.
type Fencer interface {
	// Fence takes the place of the replica with this [Event.Source].
	Fence(ctx context.Context, source string) (Fence, error)
}

// Fence is the place of a dead replica, taken to close what it has left open.
type Fence interface {
	// Append is [Log.Append] in the place of the fenced replica. The event's Source
	// is its real author.
	Append(ctx context.Context, e Event) (Position, error)
	// Close gives the place back. Closing twice is harmless.
	Close() error
}
