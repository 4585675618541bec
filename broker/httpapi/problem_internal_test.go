package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/broker"
)

func TestEveryKindHasItsStatus(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"internal": 500, "invalid": 400, "denied": 403, "lapsed": 409, "not_found": 404, "conflict": 409,
		"overloaded": 429, "log_unavailable": 503, "upstream": 502, "outcome_unknown": 500,
	}
	seen := map[string]bool{}
	for k := broker.Kind(0); k <= broker.OutcomeUnknown; k++ {
		w := httptest.NewRecorder()
		WriteProblem(w, ProblemOf(fmt.Errorf("wrapped: %w", &broker.Error{
			Kind: k, Op: "op", Public: "for you", Err: errors.New("not for you"), CallID: "c", Retry: 1500 * time.Millisecond,
			Decision: &audit.Decision{Reasons: []audit.Reason{{Policy: "p", Effect: "forbid"}}},
		})))
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		seen[p.Kind] = true
		if p.Kind != k.String() || p.Status != want[p.Kind] || w.Code != p.Status || p.Detail != "for you" || p.CallID != "c" ||
			p.RetryAfter != 2 || w.Header().Get("Retry-After") != "2" || len(p.Reasons) != 1 || p.Type != "about:blank" || p.Title == "" {
			t.Errorf("%s: %s", k, w.Body)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("kinds seen: %v", seen)
	}
}

func TestErrorsFromBelowAreSortedAndKeptInside(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		status int
	}{
		"query":       {fmt.Errorf("x: %w", index.ErrQuery), 400},
		"not found":   {fmt.Errorf("x: %w", audit.ErrNotFound), 404},
		"unavailable": {fmt.Errorf("x: %w", audit.ErrUnavailable), 503},
		"full":        {audit.ErrFull, 503},
		"deadline":    {context.DeadlineExceeded, 503},
		"corrupt":     {audit.ErrCorrupt, 500},
		"other":       {errors.New("the password is hunter2"), 500},
	} {
		p := ProblemOf(test.err)
		if p.Status != test.status || p.Detail == test.err.Error() {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "limit=5", "limit=0", "limit=9999999999999999999", "since=2026-11-24T03:00:00.000000001Z", "a=1", "limit=1&limit=2", "cursor=%ff", "since=x;y", "state=held"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		p := parse(query, "limit", "cursor", "since", "state")
		limit, since, state := p.limit(), p.time("since"), p.one("state", "held")
		if p.err != nil {
			if k := broker.AsError(p.err).Kind; k != broker.Invalid {
				t.Errorf("%q: kind %s", query, k)
			}
			return
		}
		if limit < 1 || limit > MaxLimit || since.Location() != time.UTC || (state != "" && state != "held") {
			t.Errorf("%q: %d, %v, %q", query, limit, since, state)
		}
	})
}

func FuzzPage(f *testing.F) {
	for _, seed := range []string{"", "YQ", "Yg", "!", "_w", "YWFhYQ"} {
		f.Add(seed, 2)
	}
	f.Fuzz(func(t *testing.T, cursor string, limit int) {
		if limit < 1 || limit > MaxLimit {
			return
		}
		list, err := page([]string{"a", "b", "c", "d", "e"}, func(s string) string { return s }, limit, cursor)
		if err != nil {
			return
		}
		if len(list.Items) > limit || (list.Next != "" && len(list.Items) != limit) {
			t.Errorf("%q, %d: %+v", cursor, limit, list)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"verdict":"approve","digest":"d","reason":"r"}`, `{}`, `{"x":1}`, `{"verdict":1}`, `[]`, `{"verdict":"a","verdict":"b"}`, "\xff", `{} {}`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", mediaJSON)
		var into Approval
		err := decode(r, &into)
		if err != nil && broker.AsError(err).Kind != broker.Invalid {
			t.Errorf("%q: %v", body, err)
		}
		if err == nil && !json.Valid(body) {
			t.Errorf("%q is no JSON, and accepted", body)
		}
	})
}
