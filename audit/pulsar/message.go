package pulsar

import (
	"strconv"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
)

// The properties of a message beside those that repeat its event's attributes, which
// are called like these with the prefix of CloudEvents.
const (
	propertyPrefix  = "ce_"
	propertyContent = "content-type"
	propertyRun     = "deed_run"      // one life of the producer
	propertyNumber  = "deed_seq"      // counts its messages, from 0
	propertyCount   = "deed_payloads" // how many the event has; not there if it has none
)

// ContentType is that of the messages: a CloudEvent in structured mode.
const ContentType = "application/cloudevents+json"

// envelope are the attributes of an event as the properties of its message repeat them.
func envelope(e audit.Event) map[string]string {
	p := map[string]string{propertyContent: ContentType}
	for name, value := range attributes(e) {
		if value != "" {
			p[propertyPrefix+name] = value
		}
	}
	if len(e.Payloads) > 0 {
		p[propertyCount] = strconv.Itoa(len(e.Payloads))
	}
	return p
}

func attributes(e audit.Event) map[string]string {
	expires := ""
	if e.TokenExpires != nil {
		expires = e.TokenExpires.UTC().Format(time.RFC3339Nano)
	}
	return map[string]string{
		"specversion": e.SpecVersion, "id": e.ID, "type": string(e.Type), "source": e.Source, "subject": e.Subject,
		"time": e.Time.Format(time.RFC3339Nano), "datacontenttype": e.DataContentType,
		"tenant": e.Tenant, "domain": e.Domain, "topic": e.Topic,
		"principal": e.Principal, "actor": e.Actor, "tokenexpires": expires, "traceparent": e.TraceParent,
	}
}

// numbered adds which message of which run it is.
func numbered(p map[string]string, run string, number int64) {
	p[propertyRun], p[propertyNumber] = run, strconv.FormatInt(number, 10)
}

// received is a message as the client gives it, with its place made out.
type received struct {
	pulsar.Message

	id    messageID
	index int64 // -1 if the broker doesn't say
	batch bool
	at    time.Time // when the broker took it, or else when the producer sent it
}

// entry is the message as a record.
func (r received) entry(mismatches []audit.Mismatch) *entry {
	return &entry{
		index: r.index, id: r.id, at: r.at, body: r.Payload(),
		run: r.Properties()[propertyRun], payloads: r.Properties()[propertyCount] != "", mismatches: mismatches,
	}
}

func receive(m pulsar.Message) received {
	r := received{Message: m, index: -1, id: messageID{m.ID().LedgerID(), m.ID().EntryID()}, batch: m.ID().BatchSize() > 1, at: m.PublishTime()}
	if i := m.Index(); i != nil {
		r.index = int64(*i) //nolint:gosec // counts messages
	}
	if at := m.BrokerPublishTime(); at != nil {
		r.at = *at
	}
	return r
}
