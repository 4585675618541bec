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

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const policies = `permit (principal, action in Action::"desk", resource);`

// history makes a call at a real broker, and gives its events, a line each, and the file
// of the keys.
func history(t *testing.T) (lines []string, keys string) {
	t.Helper()
	rig := brokertest.Start(t, brokertest.Options{Policies: policies, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()}})
	who := brokertest.Through(brokertest.Person("alice"), "sub-agent", "copilot")
	reply, err := rig.Call(t.Context(), broker.Request{Identity: who, Tool: "desk.echo", Arguments: []byte(`{"text":"hello"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range rig.Events(t, reply.CallID) {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	set, err := json.Marshal(rig.StatementKeys())
	if err != nil {
		t.Fatal(err)
	}
	keys = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, set, 0o600); err != nil {
		t.Fatal(err)
	}
	return lines, keys
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
			lines, keys := history(t)
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
