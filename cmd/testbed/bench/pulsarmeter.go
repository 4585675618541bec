package bench

import (
	"context"
	"strconv"

	"github.com/deedbroker/deed/audit/pulsar/pulsarbench"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
)

// logMeter measures the rows of the comparison of logs, each as often as there are rounds.
type logMeter struct {
	options *options
	server  *pulsar.Standalone
	pid     int // of the server
	token   string
	rows    map[string]*tally
}

func (m *logMeter) row(what string, connections int) *tally {
	key := what + "@" + strconv.Itoa(connections)
	if m.rows[key] == nil {
		m.rows[key] = &tally{}
	}
	return m.rows[key]
}

// raw has so many publish to a topic of their own, and adds what that was.
func (m *logMeter) raw(ctx context.Context, n int) error {
	t := m.row(rowRaw, n)
	return m.billed(t, 0, func() (int, error) {
		took, err := pulsarbench.Publish(ctx, m.server.URL(), m.token, "persistent://"+pulsarTenant+"/bench/raw", n, eventBytes, m.options.time)
		t.total.calls, t.elapsed, t.latencies = t.total.calls+len(took), t.elapsed+m.options.time, append(t.latencies, took...)
		return len(took), err
	})
}

// subject has so many call, and adds what that was.
func (m *logMeter) subject(ctx context.Context, s *subject, n int) error {
	t := m.row(s.name, n)
	return m.billed(t, s.pid, func() (int, error) {
		before := t.total.calls
		err := t.measure(ctx, s, load{generations()[1], n, m.options.time, m.options.calls})
		return t.total.calls - before + n*warmUp, err
	})
}

// billed adds what everybody used while something made calls.
func (m *logMeter) billed(t *tally, subject int, work func() (calls int, err error)) error {
	before, err := readAccounts(subject, m.pid)
	if err != nil {
		return err
	}
	calls, err := work()
	if err != nil {
		return err
	}
	after, err := readAccounts(subject, m.pid)
	if err != nil {
		return err
	}
	t.used, t.calls = t.used.plus(after.since(before)), t.calls+calls
	return nil
}
