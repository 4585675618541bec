package pulsar

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"

	"github.com/apache/pulsar-client-go/pulsar"
)

// packer sends the payloads of events to one partition. Where they come faster than
// Pulsar acknowledges them, those of several events travel in one message: nobody waits
// for company, but what comes while maxFlying messages are on their way goes together
// when one of them is acknowledged.
type packer struct {
	mu     sync.Mutex
	queue  []*pack // guarded by mu
	flying int     // guarded by mu: messages that Pulsar has not answered
}

// pack is the encrypted payloads of one event.
type pack struct {
	by     pulsar.Producer
	event  string
	body   []byte
	settle func(error) // called once, with what Pulsar answered
}

const (
	maxFlying = 8
	maxPacks  = 64 // of one message
)

// The content types of messages: the payloads of one event, or of several.
const (
	payloadContent  = "application/vnd.deed.payloads.v1"
	payloadsContent = "application/vnd.deed.payloads.v2"
)

// propertyEvents names the events whose payloads a message of several has, in its order.
const propertyEvents = "deed_events"

// add sends payloads, at once or when there is room.
func (k *packer) add(ctx context.Context, p *pack) {
	k.mu.Lock()
	k.queue = append(k.queue, p)
	next := k.next()
	k.mu.Unlock()
	k.send(ctx, next)
}

// next takes what travels together next, if something may. Call it with mu held.
func (k *packer) next() []*pack {
	if len(k.queue) == 0 || k.flying >= maxFlying {
		return nil
	}
	n, size := 0, 0
	for n < len(k.queue) && n < maxPacks && k.queue[n].by == k.queue[0].by {
		if size += len(k.queue[n].body); n > 0 && size > maxSingle {
			break
		}
		n++
	}
	packs := append([]*pack(nil), k.queue[:n]...)
	k.queue = append(k.queue[:0], k.queue[n:]...)
	k.flying++
	return packs
}

// send sends payloads in one message. The client may answer before it returns.
func (k *packer) send(ctx context.Context, packs []*pack) {
	if len(packs) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	packs[0].by.SendAsync(ctx, messageOf(packs), func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
		for _, p := range packs {
			p.settle(err)
		}
		k.mu.Lock()
		k.flying--
		next := k.next()
		k.mu.Unlock()
		k.send(ctx, next)
	})
}

func messageOf(packs []*pack) *pulsar.ProducerMessage {
	if len(packs) == 1 {
		return &pulsar.ProducerMessage{
			Payload: packs[0].body, Properties: map[string]string{propertyPrefix + "id": packs[0].event, propertyContent: payloadContent},
		}
	}
	var events []string
	var body []byte
	for _, p := range packs {
		events = append(events, p.event)
		body = append(binary.AppendUvarint(body, uint64(len(p.body))), p.body...)
	}
	return &pulsar.ProducerMessage{
		Payload: body, Properties: map[string]string{propertyEvents: strings.Join(events, ","), propertyContent: payloadsContent},
	}
}

// packed gives the payloads of each event that a message has.
func packed(m pulsar.Message) (packs []pack, err error) {
	if m.Properties()[propertyContent] != payloadsContent {
		return []pack{{event: m.Properties()[propertyPrefix+"id"], body: m.Payload()}}, nil
	}
	body := m.Payload()
	for event := range strings.SplitSeq(m.Properties()[propertyEvents], ",") {
		n, used := binary.Uvarint(body)
		if used <= 0 || n > uint64(len(body)-used) || len(packs) == maxPacks { //nolint:gosec // not negative
			return nil, errMalformed
		}
		packs = append(packs, pack{event: event, body: body[used : used+int(n)]}) //nolint:gosec // not longer than body
		body = body[used+int(n):]                                                 //nolint:gosec // not longer than body
	}
	if len(body) > 0 {
		return nil, errMalformed
	}
	return packs, nil
}
