package mcpapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/broker"
)

// notifier sends the notifications of one call: of its waiting for people, and of
// the tool itself.
type notifier struct {
	out   *answer
	token jsontext.Value // of progress; nil if the client asked for none
	level string         // the least level of log messages; empty for none

	mu     sync.Mutex
	waited float64 // the last progress told while waiting; guarded by mu
}

func (n *notifier) wantsProgress() bool { return n.out.streams && n.token != nil }
func (n *notifier) wantsAny() bool      { return n.out.streams && (n.token != nil || n.level != "") }

// waiting tells how long the call has waited, in seconds, and for whom.
func (n *notifier) waiting(p broker.Pending) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waited = max(p.Waited.Seconds(), n.waited+0.001) // it must grow with each notification
	b := append([]byte(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":`), n.token...)
	b = append(b, `,"progress":`...)
	b = strconv.AppendFloat(b, n.waited, 'f', 3, 64)
	b = append(b, `,"message":`...)
	n.out.send(append(appendText(b, waitingText(p)), "}}"...))
}

func waitingText(p broker.Pending) string {
	if p.Released {
		return "running"
	}
	left := max(time.Until(p.Expires), 0).Round(time.Second)
	return fmt.Sprintf("waiting for approval by %s (%d so far), %s left", approvers(p), p.Votes, left)
}

func approvers(p broker.Pending) string {
	if len(p.Approvers) == 0 {
		return "a person"
	}
	return strings.Join(p.Approvers, " or ")
}

// notify passes on a notification of the tool: its progress under the client's own
// token, and log messages of the level asked for. Others are not for the client.
func (n *notifier) notify(method string, params json.RawMessage) {
	switch method {
	case "notifications/progress":
		if n.token != nil {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.pass(method, n.ownProgress(params))
		}
	case "notifications/message":
		if n.wantsLevel(params) {
			n.pass(method, params)
		}
	}
}

func (n *notifier) pass(method string, params []byte) {
	if params == nil {
		return
	}
	b := append(make([]byte, 0, len(params)+80), `{"jsonrpc":"2.0","method":"`...)
	b = append(append(b, method...), `","params":`...)
	n.out.send(append(append(b, params...), '}'))
}

// ownProgress is the tool's progress with the client's token, counted on from what
// was told while waiting; nil if it is none. The caller holds mu.
func (n *notifier) ownProgress(params []byte) []byte {
	r := newReader(params)
	b := append([]byte(`{"progressToken":`), n.token...)
	err := r.members(nil, func(name string) error {
		v, err := r.value()
		if err != nil || name == "progressToken" {
			return err
		}
		b = append(appendText(append(b, ','), name), ':')
		if n.waited > 0 && v.Kind() == '0' && (name == "progress" || name == "total") {
			number, err := strconv.ParseFloat(string(v), 64)
			if err != nil {
				return err
			}
			b = strconv.AppendFloat(b, number+n.waited, 'g', -1, 64)
			return nil
		}
		b = append(b, v...)
		return nil
	})
	if err != nil {
		return nil
	}
	return append(b, '}')
}

// wantsLevel reports whether a log message is at least of the level that was asked for.
func (n *notifier) wantsLevel(params []byte) bool {
	levels := []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}
	least := slices.Index(levels, n.level)
	if least < 0 {
		return false
	}
	var level string
	r := newReader(params)
	err := r.members(nil, func(name string) (err error) {
		if name == "level" {
			level, err = r.optionalText()
			return err
		}
		return r.dec.SkipValue()
	})
	return err == nil && r.end() == nil && slices.Index(levels, level) >= least
}
