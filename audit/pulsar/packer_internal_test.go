package pulsar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/apache/pulsar-client-go/pulsar"
	"pgregory.net/rapid"
)

// said is a message as the client gives it, without its place.
type said struct {
	pulsar.Message
	of *pulsar.ProducerMessage
}

func (s said) Payload() []byte               { return s.of.Payload }
func (s said) Properties() map[string]string { return s.of.Properties }

// held is a producer that answers when it is told to.
type held struct {
	pulsar.Producer
	sent []func(error)
	msgs []*pulsar.ProducerMessage
}

func (h *held) SendAsync(_ context.Context, m *pulsar.ProducerMessage, done func(pulsar.MessageID, *pulsar.ProducerMessage, error)) {
	h.msgs = append(h.msgs, m)
	h.sent = append(h.sent, func(err error) { done(nil, m, err) })
}

// Whatever the order in which payloads come and are acknowledged, each is sent once, what
// is sent can be taken apart again, and everybody is told.
func TestPayloadsTravelTogetherAndComeApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, k, want, told := &held{}, &packer{}, map[string][]byte{}, map[string]error{}
		n := rapid.IntRange(1, 200).Draw(t, "payloads")
		refused := errors.New("refused")
		for i := 0; i < n || len(h.sent) > 0; {
			if i < n && (len(h.sent) == 0 || rapid.Bool().Draw(t, "another")) {
				id, body := fmt.Sprint("event", i), rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "body")
				want[id] = body
				k.add(t.Context(), &pack{by: h, event: id, body: body, settle: func(err error) { told[id] = err }})
				i++
				continue
			}
			answer := h.sent[0]
			h.sent = h.sent[1:]
			if rapid.IntRange(0, 9).Draw(t, "luck") == 0 {
				answer(refused)
			} else {
				answer(nil)
			}
			if len(h.sent) > maxFlying {
				t.Fatalf("%d messages are on their way", len(h.sent))
			}
		}
		for _, m := range h.msgs {
			packs, err := packed(said{of: m})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range packs {
				if body, waits := want[p.event]; !waits || !bytes.Equal(body, p.body) {
					t.Fatalf("%s came as %x, and is %x", p.event, p.body, body)
				}
				delete(want, p.event)
			}
		}
		if len(want) > 0 || len(told) != n {
			t.Fatalf("%d were not sent, %d of %d were told", len(want), len(told), n)
		}
	})
}

func FuzzPacked(f *testing.F) {
	f.Add("a,b", []byte{1, 'x', 0})
	f.Add("a", []byte{200, 1})
	f.Add("", []byte{})
	f.Fuzz(func(_ *testing.T, events string, body []byte) {
		m := &pulsar.ProducerMessage{Payload: body, Properties: map[string]string{propertyEvents: events, propertyContent: payloadsContent}}
		packs, err := packed(said{of: m})
		if err != nil {
			return
		}
		for _, p := range packs {
			_, _ = decodePayloads(p.body) // it is whatever it is, and ends
		}
	})
}
