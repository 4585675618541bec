package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/schema/schematest"
	"github.com/deedbroker/deed/broker/httpapi"
)

// TestDemoAsANewcomerSeesIt plays the demo to its end, twice, with the verbs that it names.
func TestDemoAsANewcomerSeesIt(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	first := playDemo(t, h, "     APPROVED, and run:")
	second := playDemo(t, h, "     APPROVED, and run:") // the payment has 130 left

	if first.key != second.key {
		t.Errorf("the second start signs with %s, the first did with %s", second.key, first.key)
	}
	out := h.must(t, []string{"verify", h.data(), "--key", first.key},
		"payments/calls", "8 calls (0 open)", "verified: the history in "+h.data()+" is complete and untouched")
	t.Logf("deed verify:\n%s", out)
	h.must(t, []string{"verify"}, "verified: ") // the demo's directory is the default
	fitSchemas(t, h.data())
}

// fitSchemas holds every record of a history against the published schemas.
func fitSchemas(t *testing.T, data string) {
	t.Helper()
	dir, err := logDir(data)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := embedded.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }() // it was only read
	sizes, err := reader.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	schemas, types := schematest.Compile(t), map[audit.Type]bool{}
	for log, size := range sizes {
		for i := range size {
			record, err := reader.Record(t.Context(), audit.Position{Log: log, Index: i})
			if err != nil {
				t.Fatal(err)
			}
			if err := schemas.Validate(record.Stored); err != nil {
				t.Errorf("%s: %v", record.Position, err)
			}
			event, err := record.Event()
			if err != nil {
				t.Fatal(err)
			}
			types[event.Type] = true
		}
	}
	for _, want := range []audit.Type{
		audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallResult, audit.CallDenied,
		audit.ReplicaStarted, audit.PolicyActivated, audit.ToolPinned, audit.TokenRejected, audit.TreeSigned,
	} {
		if !types[want] {
			t.Errorf("the history has no %s", want)
		}
	}
}

type played struct{ held, key string }

// playDemo approves the held call and looks at everything, then stops the demo.
func playDemo(t *testing.T, h home, end string) played {
	t.Helper()
	p := h.start(t, "demo", "--listen", "127.0.0.1:0", "--issuer-listen", "127.0.0.1:0")
	url := strings.TrimSuffix(strings.Fields(p.until(t, "people look at"))[3], "/")
	at := func(args ...string) []string { return append(args, "--url", url) }
	held := strings.Fields(p.until(t, "deed deny"))[2]
	for _, want := range []string{
		"files__list_directory  files__read_file", "ALLOWED by support-works (alice) and assistants-work (copilot)\n     Welcome.",
		"DENIED   policy nothing-is-deleted", "REFUSED  the token has expired", "(HTTP 401): no identity, no event",
		"HELD     big-refunds-need-a-lead: Refunds over 100 need a lead.\n", "deed approve " + held + " --as bob --url " + url,
	} {
		if !strings.Contains(p.transcript(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, p.transcript())
		}
	}
	h.must(t, at("pending", "--as", "bob"), held, "payments.refund", "alice via copilot", "yes")
	h.must(t, at("approve", held, "--as", "bob", "--yes"), "call "+held+" of payments.refund is ")
	p.until(t, end)
	verify := p.until(t, "deed verify "+h.data())
	key := strings.Fields(p.until(t, "--key"))[1]
	verified := p.until(t, "VERIFIED")
	p.until(t, "Stop it with ctrl-C")
	t.Logf("the demo, until %s %s:\n%s", verify, verified, p.transcript())
	review(t, h, held, url, key)
	if code, said := p.stop(t, os.Interrupt); code != 0 || said != "" {
		t.Errorf("ctrl-C: exit code %d, and it says %q", code, said)
	}
	return played{held, key}
}

// review looks at the call with each of the reviewers' verbs.
func review(t *testing.T, h home, held, url, key string) {
	t.Helper()
	at := func(args ...string) []string { return append(args, "--url", url) }
	h.must(t, at("history", "--as", "bob"), held, "payments.refund", "files.delete_file", "denied", "result")
	h.must(t, at("show", held, "--as", "bob"), "held by   big-refunds-need-a-lead", "approved  by bob", "state     closed: result", `"amount": 120`)
	h.must(t, at("replay", held, "--as", "bob"), "copilot, on behalf of alice", "bob approved it", "released to run", "it ran")
	h.must(t, at("agents", "--as", "bob"), "copilot", "files.delete_file", "alice")
	h.must(t, at("export", "--as", "carol"), `"specversion":"1.0"`, held, `"type":"dev.deed.call.result.v1"`)
	h.must(t, at("export", "--data", h.data()), held, `"type":"dev.deed.checkpoint.v1"`)
	evidence := filepath.Join(t.TempDir(), "evidence.zip")
	h.must(t, at("export", "--evidence", "soc2", "--payloads", "--as", "bob", "-o", evidence))
	h.must(t, []string{"verify", evidence, "--key", key}, "verified: ")
	h.must(t, at("call", "payments.balance", "--args", `{"account":"acc-ada"}`, "--as", "alice", "--agent", "copilot"), `"account":"acc-ada"`)
}

// TestNextDemoGoesOn finds the calls of the run before it, by the same ids.
func TestNextDemoGoesOn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.demo(t)
	r, err := b.agent.Call(t.Context(), "files.read_file", []byte(`{"path":"welcome.txt"}`), callOptions())
	if err != nil {
		t.Fatal(err)
	}
	held := b.hold(t, 101)
	if code, said := b.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("SIGTERM: exit code %d: %s", code, said)
	}

	next := b.again(t)
	out := h.must(t, []string{"history", "--as", "bob", "--json", "--url", next.url()})
	var list httpapi.List[httpapi.CallSummary]
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, c := range list.Items {
		states[c.CallID] = c.State
	}
	if diff := cmp.Diff(map[string]string{r.CallID: "closed", held.CallID: "held"}, states); diff != "" {
		t.Errorf("calls after the restart (-want +got):\n%s", diff)
	}
	next.approve(t, held)
	if got := next.await(t, held.CallID); got.err != nil {
		t.Errorf("the call that was held over the restart: %v", got.err)
	}
}

// TestOneDeedADirectory: a second one says so, and does no harm to the first.
func TestOneDeedADirectory(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.demo(t)
	for _, args := range [][]string{
		{"demo", "--json", "--listen", "127.0.0.1:0", "--issuer-listen", "127.0.0.1:0"},
		{"serve", "--allow-demo-issuer", "-c", filepath.Join(h.data(), "deed.yaml")},
	} {
		out, said, code := h.run(t, args...)
		if code == 0 || out != "" {
			t.Errorf("deed %s: exit code %d\n%s", args[0], code, out)
		}
		for _, want := range []string{"another deed is running on " + h.data(), "hint: stop the other one"} {
			if !strings.Contains(said, want) {
				t.Errorf("deed %s does not say %q:\n%s", args[0], want, said)
			}
		}
	}
	h.must(t, []string{"history", "--as", "bob", "--url", b.url()}) // signs in with what the first one left
}

func TestBusyPort(t *testing.T) {
	t.Parallel()
	first := newHome(t).demo(t)
	busy := strings.TrimPrefix(first.url(), "http://")
	config := strings.NewReplacer("127.0.0.1:1", busy).Replace(`listen: 127.0.0.1:1
url: http://127.0.0.1:1
data: data
issuers: [{ url: "https://idp.invalid" }]
policies: [all.cedar]
domains: { source: {} }
upstreams: { files: { domain: source, builtin: files, dir: . } }
`)
	h := newHome(t)
	for name, text := range map[string]string{"deed.yaml": config, "all.cedar": `permit (principal, action in Action::"files", resource);`} {
		if err := os.WriteFile(filepath.Join(string(h), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{
		"demo":   {"demo", "--listen", busy, "--issuer-listen", "127.0.0.1:0"},
		"issuer": {"demo", "--listen", "127.0.0.1:0", "--issuer-listen", busy},
		"serve":  {"serve", "-c", "deed.yaml"},
	} {
		_, said, code := h.run(t, args...)
		if code == 0 || !strings.Contains(said, "address already in use") || !strings.Contains(said, "hint: something else listens there") {
			t.Errorf("%s: exit code %d:\n%s", name, code, said)
		}
	}
}

// TestOneBitInTheLog: whoever changes the history is found out, wherever the bit is.
func TestOneBitInTheLog(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.demo(t)
	r, err := b.agent.Call(t.Context(), "payments.balance", []byte(`{"account":"acc-ada"}`), callOptions())
	if err != nil {
		t.Fatal(err)
	}
	if code, said := b.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("SIGTERM: exit code %d: %s", code, said)
	}
	h.must(t, []string{"verify", h.data(), "--key", b.VerifierKey}, "verified: ")

	path := filepath.Join(h.data(), embedded.FileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"call id": r.CallID + `","time"`, "principal": `"principal":"alice"`, "answer": `acc-ada\",\"balance\"`,
	} {
		at := strings.Index(string(sound), text)
		if at < 0 {
			t.Errorf("%s: the log has no %q", name, text)
			continue
		}
		bent := []byte(string(sound))
		bent[at] ^= 1
		if err := os.WriteFile(path, bent, 0o600); err != nil {
			t.Fatal(err)
		}
		out, said, code := h.run(t, "verify", h.data(), "--key", b.VerifierKey)
		if code != 1 || !strings.Contains(out, "finding: payments/calls@") || !strings.Contains(out+said, "NOT verified") {
			t.Errorf("%s: exit code %d:\n%s%s", name, code, out, said)
		}
		t.Logf("a bit of the %s flipped: exit code %d\n%s%s", name, code, out, said)
	}
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	h.must(t, []string{"verify", h.data(), "--key", b.VerifierKey}, "verified: ")
}
