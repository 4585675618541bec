package broker_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// cluster is several brokers over one log.
type cluster struct {
	dir      string
	log      *embedded.Log
	shared   *audittest.Shared
	ran      *runs
	policies string        // Cedar
	gate     chan struct{} // what the tool of a call with the text "slow" waits for
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	log, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Errorf("close log: %v", err)
		}
	})
	return &cluster{dir: dir, log: log, shared: audittest.Share(log), ran: &runs{times: map[string]int{}}, policies: policies, gate: make(chan struct{})}
}

// member is one of the brokers, and its session.
type member struct {
	*brokertest.Rig
	session *audittest.Replica
}

func (c *cluster) join(t *testing.T, name string, o brokertest.Options) *member {
	t.Helper()
	session, err := c.shared.Join(name)
	if err != nil {
		t.Fatal(err)
	}
	return c.start(t, name, session, o)
}

func (c *cluster) start(t *testing.T, name string, session *audittest.Replica, o brokertest.Options) *member {
	t.Helper()
	fake := toolstest.NewFake()
	fake.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string"}}`, "text"), c.run)
	o.Policies, o.Upstreams = c.policies, map[string]tools.Upstream{"desk": fake}
	o.Session, o.Log, o.Replica, o.Dir = session, c.log, name, c.dir
	o.HoldWait, o.AckWait, o.Silence, o.Grace = 10*time.Millisecond, cmp.Or(o.AckWait, time.Minute), 30*time.Millisecond, time.Millisecond
	return &member{brokertest.Start(t, o), session}
}

func (c *cluster) run(ctx context.Context, call tools.Call) (tools.Answer, error) {
	if _, err := c.ran.count(ctx, call); err != nil {
		return tools.Answer{}, err
	}
	var args struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(call.Arguments, &args); err != nil {
		return tools.Answer{}, err
	}
	if args.Text == "slow" || args.Text == "ask slow" {
		select {
		case <-c.gate:
		case <-ctx.Done():
			return tools.Answer{}, errors.Join(tools.ErrUncertain, ctx.Err())
		}
	}
	return tools.Answer{Raw: json.RawMessage(`{"content":[]}`)}, nil
}

// kill takes a replica away for good; its goroutines end in their own time.
func (m *member) kill(t *testing.T) {
	t.Helper()
	m.session.CutOff()
	go m.Stop()
}

func (m *member) waitHeld(t *testing.T, id string) broker.HeldCall {
	t.Helper()
	var h broker.HeldCall
	until(t, "the held call is known here", func() bool {
		var err error
		h, err = m.Held(t.Context(), bob, id)
		return err == nil
	})
	return h
}

func TestAVoteAtAnyReplicaReleasesACall(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b, x := c.join(t, "a", brokertest.Options{}), c.join(t, "b", brokertest.Options{}), c.join(t, "x", brokertest.Options{})
	reply, err := a.Call(t.Context(), echo("ask me"))
	if err != nil {
		t.Fatal(err)
	}
	h := b.waitHeld(t, reply.CallID)
	approve(t, b.Rig, bob, h)
	x.waitHeld(t, reply.CallID)
	for _, m := range []*member{a, b, x} { // it can be awaited anywhere
		if _, err := outcome(t, m.Rig, h.ID); err != nil {
			t.Errorf("the outcome is %v", err)
		}
	}
	state := fold(t, a.Rig, h.ID)
	if state.Releasing.Source != "deed://acme/b" {
		t.Errorf("released by %s, voted at b", state.Releasing.Source)
	}
	if n := c.ran.of(h.ID); n != 1 {
		t.Errorf("it ran %d times", n)
	}
	verified(t, c.log, "at the end")
}

func (r *runs) of(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[id]
}

// begin starts a call that runs until the gate opens, and returns its id.
func (c *cluster) begin(t *testing.T, m *member) (id string, done <-chan error) {
	t.Helper()
	before := len(c.started())
	ended := make(chan error, 1)
	go func() {
		_, err := m.Call(context.Background(), echo("slow"))
		ended <- err
	}()
	until(t, "the call runs", func() bool { return len(c.started()) > before })
	for id := range c.started() {
		state := fold(t, m.Rig, id)
		if state.State == calls.Running && state.Opening.Source == "deed://acme/"+m.name() {
			return id, ended
		}
	}
	t.Fatal("no call runs")
	return "", nil
}

func (c *cluster) started() map[string]int {
	c.ran.mu.Lock()
	defer c.ran.mu.Unlock()
	all := map[string]int{}
	maps.Copy(all, c.ran.times)
	return all
}

func (m *member) name() string { return m.session.Name() }

func TestWhatADeadReplicaLeftIsClosedByOneOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := c.join(t, "a", brokertest.Options{})
	others := []*member{c.join(t, "b", brokertest.Options{}), c.join(t, "x", brokertest.Options{})}
	running, _ := c.begin(t, a)
	reply, err := a.Call(t.Context(), echo("ask slow"))
	if err != nil {
		t.Fatal(err)
	}
	released := a.waitHeld(t, reply.CallID)
	approve(t, a.Rig, bob, released)
	until(t, "it runs", func() bool { return c.ran.of(released.ID) == 1 })
	heldOn, err := a.Call(t.Context(), echo("ask later"))
	if err != nil {
		t.Fatal(err)
	}
	a.kill(t)
	for _, id := range []string{running, released.ID} {
		until(t, "it is closed", func() bool { return !new(fold(t, others[0].Rig, id)).Open() })
		wantEnd(t, others[0].Rig, id, audit.CallUnknown)
	}
	h := others[1].waitHeld(t, heldOn.CallID)
	approve(t, others[1].Rig, bob, h)
	if _, err := outcome(t, others[0].Rig, h.ID); err != nil {
		t.Errorf("the held call ended with %v", err)
	}
	close(c.gate)
	verified(t, c.log, "at the end")
}

// wantEnd checks that a call has one closing event, of this type.
func wantEnd(t *testing.T, rig *brokertest.Rig, id string, want audit.Type) {
	t.Helper()
	var ends []audit.Type
	for _, typ := range rig.Types(t, id) {
		if typ.Closes() {
			ends = append(ends, typ)
		}
	}
	if len(ends) != 1 || ends[0] != want {
		t.Errorf("call %s ended with %v, want %s once", id, ends, want)
	}
}

func TestALivingReplicaKeepsItsCalls(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := c.join(t, "a", brokertest.Options{})
	id, done := c.begin(t, a)
	b := c.join(t, "b", brokertest.Options{}) // opens the log while the call runs
	if _, err := b.Call(t.Context(), echo("plain")); err != nil {
		t.Fatal(err)
	}
	<-time.After(150 * time.Millisecond) // b asks several times
	close(c.gate)
	if err := <-done; err != nil {
		t.Errorf("the call ended with %v", err)
	}
	wantEnd(t, b.Rig, id, audit.CallResult)
}

func TestAReplicaThatComesBackClosesItsOwnCallsAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := c.join(t, "a", brokertest.Options{})
	id, _ := c.begin(t, a)
	a.kill(t)
	again := c.join(t, "a", brokertest.Options{})
	wantEnd(t, again.Rig, id, audit.CallUnknown)
	verified(t, c.log, "at the end")
}

// TestAnIntentThatComesLateIsClosedByItsReplica: it was on its way when the replica was
// killed, and was stored only after it had come back and read the log.
func TestAnIntentThatComesLateIsClosedByItsReplica(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.join(t, "a", brokertest.Options{}), c.join(t, "b", brokertest.Options{})
	reply, err := a.Call(t.Context(), echo("plain"))
	if err != nil {
		t.Fatal(err)
	}
	held, err := a.Call(t.Context(), echo("ask me"))
	if err != nil {
		t.Fatal(err)
	}
	h := a.waitHeld(t, held.CallID)
	late := make([]string, 2)
	for i, like := range []string{reply.CallID, h.ID} {
		e := opening(t, c, like)
		e.ID, e.Subject, e.Time = audittest.NewID(), audittest.NewID(), e.Time.Add(-time.Minute)
		late[i] = e.Subject
		if _, err := c.log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "it is closed", func() bool { return !new(fold(t, b.Rig, late[0])).Open() })
	wantEnd(t, b.Rig, late[0], audit.CallUnknown)
	a.waitHeld(t, late[1])
}

// opening is the intent of a call, with what it was made with.
func opening(t *testing.T, c *cluster, id string) audit.Event {
	t.Helper()
	for rec, err := range c.log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := rec.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == audit.CallIntent && e.Subject == id {
			p, err := c.log.Payload(t.Context(), rec.Position, audit.PayloadArguments)
			if err != nil {
				t.Fatal(err)
			}
			e.Payloads = []audit.Payload{p}
			return e
		}
	}
	t.Fatalf("call %s has no intent", id)
	return audit.Event{}
}

func TestAReplicaThatWakesUpFencedStops(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := c.join(t, "a", brokertest.Options{EndsWith: audit.ErrFenced})
	b := c.join(t, "b", brokertest.Options{})
	id, done := c.begin(t, a)
	a.session.CutOff()
	until(t, "it is closed", func() bool { return !new(fold(t, b.Rig, id)).Open() })
	close(c.gate) // its tool answers, and it comes back
	a.session.Return()
	a.Wait()
	wantKind(t, <-done, broker.OutcomeUnknown)
	wantEnd(t, b.Rig, id, audit.CallUnknown)
	if _, err := a.Call(t.Context(), echo("plain")); err == nil {
		t.Error("a fenced replica took a call")
	}
	verified(t, c.log, "at the end")
}
