package broker

import (
	"context"
	"encoding/json"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/sentence"
	"github.com/deedbroker/deed/tools"
)

// sentence puts a call with these arguments into words. Arguments that cannot be read
// leave their blanks open.
func (b *Broker) sentence(c calls.Call, args json.RawMessage) sentence.Sentence {
	var value map[string]any
	if parsed, err := tools.ParseArguments(args); err == nil {
		value = parsed.Value
	}
	return b.cfg.Sentences[c.Intent.Tool].Of(c.Intent.Tool, value)
}

// Words puts a recorded call into words, with the arguments that it runs with. An error
// leaves their blanks open.
func (b *Broker) Words(ctx context.Context, c calls.Call) (sentence.Sentence, error) {
	args, err := b.onRecord(ctx, c)
	return b.sentence(c, args), err
}

// Told is the sentence that a person was shown who decided on a call with these arguments,
// as they are on record. It is told only if it is what the record says, which it is not
// where the tool's sentence was another then.
func (b *Broker) Told(c calls.Call, args audit.Payload, shown audit.Shown) (text string, known bool) {
	s := b.sentence(c, args.Body)
	if !s.Is(shown, c.Digest(), args.Salt) {
		return "", false
	}
	return s.String(), true
}

// shown is what a person was shown who decides on a call, if they say so. It fails with
// Conflict if the call would be put in other words now.
func (b *Broker) shown(ctx context.Context, op string, h *hold, c calls.Call, digest string) (*audit.Shown, error) {
	if digest == "" {
		return nil, nil //nolint:nilnil // nothing was shown, which is no error
	}
	args, err := b.seen(ctx, h, c)
	var salt []byte
	if err == nil {
		salt, err = b.salt(ctx, h, c)
	}
	if err != nil {
		return nil, &Error{Kind: Internal, Op: op, CallID: c.ID, Err: err, Public: "the call's arguments cannot be read"}
	}
	now := b.sentence(c, args).Shown(c.Digest(), salt)
	if now.Digest != digest {
		return nil, &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: "the call is put in other words now: look at it again before deciding"}
	}
	return &now, nil
}
