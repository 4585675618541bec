package evidence_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/evidence"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

func TestEveryFrameworkGetsFiguresPoliciesAndAnAccessReview(t *testing.T) {
	t.Parallel()
	const policies = `@id("all") permit (principal, action in Action::"desk", resource); @id("no") forbid (principal, action == Action::"desk.fail", resource);`
	rig := brokertest.Start(t, brokertest.Options{Policies: policies, HoldWait: time.Millisecond, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()}})
	id := brokertest.Through(brokertest.Person("=alice", "support"), "copilot")
	for _, tool := range []string{"desk.echo", "desk.fail"} {
		_, _ = rig.Call(t.Context(), broker.Request{Identity: id, Tool: tool, Arguments: json.RawMessage(map[string]string{"desk.echo": `{"text":"x"}`, "desk.fail": `{}`}[tool])})
	}
	if len(evidence.Frameworks()) != 5 {
		t.Errorf("frameworks %v", evidence.Frameworks())
	}
	for _, name := range evidence.Frameworks() {
		files, readme, err := evidence.Files(t.Context(), rig.Log, name, hindsight.Options{})
		if err != nil || !strings.HasPrefix(readme, "# Evidence for ") {
			t.Fatalf("%s: %v", name, err)
		}
		got := map[string]string{}
		for _, f := range files {
			key, _, policies := strings.Cut(f.Name, "/001-")
			if policies {
				key = "policies"
			}
			got[key] = string(f.Body)
		}
		for file, want := range map[string]string{
			"controls.md": "| control | about | evidence |", "figures.md": "2 calls by 1 agents for 1 people", "policies": policies,
			"access.csv": "'=alice,copilot,support,desk.echo,true,1,0,",
		} {
			if !strings.Contains(got[file], want) {
				t.Errorf("%s: %s has no %q:\n%s", name, file, want, got[file])
			}
		}
		if !strings.Contains(got["access.csv"], "desk.fail,false,0,1,") {
			t.Errorf("access review:\n%s", got["access.csv"])
		}
	}
	if _, _, err := evidence.Files(t.Context(), rig.Log, "none", hindsight.Options{}); err == nil {
		t.Error("a framework that is not there")
	}
}
