package mcpapi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

// Upstreams say what they like; clients always get JSON, with what the upstream
// said unaltered if it was an object.
func FuzzForeignBytes(f *testing.F) {
	for _, seed := range []string{
		`{"content":[],"_meta":{"a":1,"io.modelcontextprotocol/x":2},"resultType":"complete"}`,
		`{"_meta":null,"content":[{"type":"text","text":"<\u2028>"}],"isError":true}`,
		`{"name":"x","inputSchema":{"name":"inner"}}`, `{"progress":1,"total":2,"progressToken":"t"}`,
		`{"a":1,"a":2}`, "{\"\xff\":\"\xfe\"}", `{}`, `[]`, `{`, ``, ` { "x" : 1 } y`,
	} {
		f.Add([]byte(seed))
	}
	h := &Handler{serverInfo: []byte(`{"name":"deed"}`)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, modern := range []bool{false, true} {
			v := &invocation{method: tools.MethodReadResource}
			if !modern {
				v.s = new(session)
			}
			out := h.result(&broker.Reply{CallID: "c", Answer: tools.Answer{Raw: raw}}, v)
			var got, want map[string]json.RawMessage
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%q became %q: %v", raw, out, err)
			}
			if string(got["_meta"]) == "" {
				t.Fatalf("%q became %q", raw, out)
			}
			if err := json.Unmarshal(raw, &want); err != nil || want == nil {
				continue
			}
			for _, own := range []string{"_meta", "resultType", "ttlMs", "cacheScope"} {
				delete(got, own)
				delete(want, own)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%q (-want +got)\n%s", raw, d)
			}
		}
		if out := rename(raw, "name", "renamed"); out != nil {
			var got struct {
				Name string `json:"name"`
			}
			if err := json.Unmarshal(out, &got); json.Valid(raw) && err != nil {
				t.Fatalf("%q became %q: %v", raw, out, err)
			}
		}
		n := &notifier{out: newAnswer(nil, false, time.Second), token: []byte(`"mine"`), level: "debug", waited: 1.5}
		if out := n.ownProgress(raw); out != nil && !json.Valid(out) {
			t.Fatalf("%q became %q", raw, out)
		}
		n.wantsLevel(raw)
	})
}
