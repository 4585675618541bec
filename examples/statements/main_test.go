package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const policies = `permit (principal, action, resource);
@id("ask") @approvers("lead") forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "ask*" } unless { context.approvals.count >= 1 };`

func serve(t *testing.T, dir string) *brokertest.Rig {
	t.Helper()
	return brokertest.Start(t, brokertest.Options{
		Dir: dir, Policies: policies, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()}, HoldWait: time.Millisecond,
	})
}

// call makes one, with an agent for an agent for alice.
func call(t *testing.T, rig *brokertest.Rig, text string) (id string) {
	t.Helper()
	who := brokertest.Through(brokertest.Person("alice"), "sub-agent", "copilot")
	reply, err := rig.Call(t.Context(), broker.Request{Identity: who, Tool: "desk.echo", Arguments: []byte(`{"text":"` + text + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	return reply.CallID
}

// lines are the events of a call, one a line.
func lines(t *testing.T, rig *brokertest.Rig, id string) []string {
	t.Helper()
	var all []string
	for _, e := range rig.Events(t, id) {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// keep writes keys to a file.
func keep(t *testing.T, set statement.JWKSet) (file string) {
	t.Helper()
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// edited is a held call whose arguments bob changes before dave approves it, at another
// broker than took it, with another key.
func edited(t *testing.T) (history []string, keys statement.JWKSet) {
	t.Helper()
	first := serve(t, "")
	id := call(t, first, "ask rudely")
	first.Stop()
	rig := serve(t, first.Dir)
	bob, dave := brokertest.Person("bob", "lead"), brokertest.Person("dave", "lead")
	held, err := rig.Held(t.Context(), bob, id)
	if err != nil {
		t.Fatal(err)
	}
	now, err := rig.Edit(t.Context(), broker.Edit{Identity: bob, CallID: id, Digest: held.Digest(), Arguments: []byte(`{"text":"ask kindly"}`)})
	if err == nil {
		_, err = rig.Vote(t.Context(), broker.Vote{Identity: dave, CallID: id, Verdict: audit.Approve, Digest: now.Digest()})
	}
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(rig.Events(t, id)) < 5 && time.Now().Before(end); {
		_, _ = rig.Await(t.Context(), brokertest.Through(brokertest.Person("alice"), "sub-agent", "copilot"), id, nil) // its events are looked at
	}
	return lines(t, rig, id), rig.StatementKeys()
}

// program verifies events, and says whether all hold.
type program func(t *testing.T, events, keys, tenant string) (out string, ok bool)

func inGo(t *testing.T, events, keys, tenant string) (string, bool) {
	t.Helper()
	var out bytes.Buffer
	err := run(strings.NewReader(events), &out, keys, tenant)
	if err != nil && !errors.Is(err, errFound) {
		t.Fatal(err)
	}
	return out.String(), err == nil
}

func inPython(t *testing.T, events, keys, tenant string) (string, bool) {
	t.Helper()
	args := []string{"who.py", keys}
	if tenant != "" {
		args = append(args, "--act", tenant)
	}
	c := exec.CommandContext(t.Context(), need.Env(t, need.Python), args...)
	c.Stdin = strings.NewReader(events)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	err := c.Run()
	if complaint.Len() > 0 {
		t.Fatal(complaint.String())
	}
	return out.String(), err == nil
}

func TestConsumersVerifyWhoWithPublicKeysAlone(t *testing.T) {
	t.Parallel()
	for name, verify := range map[string]program{"go": inGo, "python": inPython} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "python" {
				need.Env(t, need.Python)
			}
			rig := serve(t, "")
			lines, keys := lines(t, rig, call(t, rig, "hello")), keep(t, rig.StatementKeys())
			if len(lines) != 2 {
				t.Fatalf("the call has %d events", len(lines))
			}
			all := strings.Join(lines, "\n") + "\n"
			for _, tenant := range []string{"", "acme"} {
				out, ok := verify(t, all, keys, tenant)
				if !ok || strings.Count(out, "sub-agent for copilot for alice calls desk.echo") != 2 {
					t.Errorf("it holds: %t\n%s", ok, out)
				}
			}
			if out, ok := verify(t, all, keys, "other"); ok {
				t.Errorf("it may be acted on elsewhere:\n%s", out)
			}
			e, err := audit.ParseEvent([]byte(lines[0]))
			if err != nil {
				t.Fatal(err)
			}
			e.Subject = "019ab000-0000-7000-8000-000000000001"
			moved, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			header, rest, _ := strings.Cut(e.Statement, ".")
			forged := strings.Replace(lines[0], e.Statement, header+".x"+rest[1:], 1)
			for name, line := range map[string]string{"moved to another call": string(moved), "changed": forged} {
				if out, ok := verify(t, line+"\n", keys, ""); ok || !strings.Contains(out, "DOES NOT HOLD") {
					t.Errorf("%s, and it holds:\n%s", name, out)
				}
			}
		})
	}
}

func TestStatementsHoldAfterTheirKeyIsGoneAndNameWhatPeopleEdited(t *testing.T) {
	t.Parallel()
	history, keys := edited(t)
	if len(history) != 5 || len(keys.Keys) != 2 {
		t.Fatalf("%d events, %d keys", len(history), len(keys.Keys))
	}
	all := strings.Join(history, "\n") + "\n"
	for name, verify := range map[string]program{"go": inGo, "python": inPython} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, ok := verify(t, all, keep(t, keys), "")
			printed := strings.Split(strings.TrimSpace(out), "\n")
			if !ok || len(printed) != 5 {
				t.Fatalf("it holds: %t\n%s", ok, out)
			}
			for n, line := range printed {
				if told := strings.HasSuffix(line, "calls desk.echo, as edited by bob"); told != (n > 0) {
					t.Errorf("event %d: %s", n, line)
				}
			}
			latest := keep(t, statement.JWKSet{Keys: keys.Keys[:1]})
			if out, ok := verify(t, all, latest, ""); ok || strings.Count(out, "signed by a key that is not known") != 1 {
				t.Errorf("with the key of the second broker alone it holds: %t\n%s", ok, out)
			}
		})
	}
}
