package console_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// hostile are texts that have run, or moved things, in pages that took them for more than text.
func hostile(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("testdata/hostile.jsonl")
	must(t, err)
	defer func() { must(t, f.Close()) }()
	var all []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var text string
		must(t, json.Unmarshal(lines.Bytes(), &text))
		all = append(all, text)
	}
	if len(all) < 200 {
		t.Fatalf("only %d hostile texts", len(all))
	}
	return all
}

// poison makes of what the API answers what it would be if whoever wrote any of it were
// an attacker: each text in an answer is a hostile one, but for those that only the
// broker writes. Lists have an item for each hostile text.
type poison struct {
	texts []string
	on    atomic.Bool
	turn  atomic.Int64 // for answers that are no list
}

// own are members that the broker writes: its states, kinds, ids and places.
var own = regexp.MustCompile(`^(call_id|id|state|window|severity|outcome|effect|kind|code|position|cursor|next|type|subject|digest|definition|source|specversion|level)$`)

// fixed are texts whose form is the broker's: times, digests, ids, numbers.
var fixed = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT[0-9:.]+Z|([0-9a-f]{16}){1,4}|[0-9a-f-]{36}|\d*)$`)

func (p *poison) between(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.on.Load() {
			api.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)
		var body any
		if json.Unmarshal(answer.Body.Bytes(), &body) == nil {
			answer.Body.Reset()
			if err := json.NewEncoder(answer.Body).Encode(p.whole(body)); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		_, _ = answer.Body.WriteTo(w) // the browser may have gone
	})
}

func (p *poison) whole(body any) any {
	members, ok := body.(map[string]any)
	if !ok {
		return body
	}
	items, ok := members["items"].([]any)
	if !ok || len(items) == 0 {
		return p.taint("", members, p.texts[int(p.turn.Add(1))%len(p.texts)])
	}
	many := make([]any, len(p.texts))
	for i, text := range p.texts {
		item := p.taint("", items[i%len(items)], text).(map[string]any) //nolint:forcetypeassert // lists are of objects
		for _, id := range []string{"call_id", "id"} {
			if known, ok := item[id].(string); ok && len(known) >= 4 {
				item[id] = known[:len(known)-4] + strconv.FormatInt(int64(0x1000+i), 16)
			}
		}
		if _, ok := item["may_vote"]; ok {
			item["may_vote"] = i%2 == 0
		}
		many[i] = item
	}
	return map[string]any{"items": many}
}

// taint is a value with the text in place of each that it holds.
func (p *poison) taint(name string, value any, text string) any {
	switch v := value.(type) {
	case string:
		if own.MatchString(name) || fixed.MatchString(v) && v != "" {
			return v
		}
		return text
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = p.taint(name, e, text)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = p.taint(k, e, text)
		}
		if slices.Contains([]string{"arguments", "asked", "input_schema", "properties"}, name) {
			out[text] = text // what an argument is called is no more to be trusted than what it is
		}
		return out
	default:
		return v
	}
}

// plainly are the texts that a page shows as they are, with nothing in them to be marked.
func plainly(texts []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	})
}
