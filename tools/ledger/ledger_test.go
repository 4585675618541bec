package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/ledger"
	"github.com/deedbroker/deed/tools/toolstest"
)

func open(t *testing.T, path string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func fresh(t *testing.T) *ledger.Ledger {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "a ledger?.db"))
}

func call(t *testing.T, l *ledger.Ledger, id, tool, arguments string) tools.Answer {
	t.Helper()
	a, err := l.Call(t.Context(), tools.Call{ID: id, Tool: tool, Arguments: json.RawMessage(arguments)})
	if err != nil {
		t.Fatalf("%s %s: %v", tool, arguments, err)
	}
	return a
}

func balance(t *testing.T, l *ledger.Ledger, account string) int64 {
	t.Helper()
	a := call(t, l, "", "balance", `{"account":"`+account+`"}`)
	var r struct {
		Structured struct {
			Balance int64 `json:"balance"`
		} `json:"structuredContent"`
	}
	if err := json.Unmarshal(a.Raw, &r); err != nil {
		t.Fatal(err)
	}
	return r.Structured.Balance
}

func TestLedgerKeepsTheContract(t *testing.T) {
	t.Parallel()
	toolstest.Run(t, func(t *testing.T) toolstest.Subject {
		t.Helper()
		return toolstest.Subject{
			Upstream: fresh(t),
			Succeeds: toolstest.Case{Tool: "charge", Arguments: `{"account":"acc-ada","amount":1,"description":"Tea"}`, Want: `"currency":"EUR"`},
			Fails:    &toolstest.Case{Tool: "charge", Arguments: `{"account":"acc-nobody","amount":1,"description":"Tea"}`, Want: "no such account"},
			Refuses:  &toolstest.Case{Tool: "refund", Arguments: `{"payment":5}`},
		}
	})
}

func TestSampleData(t *testing.T) {
	t.Parallel()
	l := fresh(t)
	if list := string(call(t, l, "", "accounts", `{}`).Raw); !strings.Contains(list, `{"account":"acc-ada","name":"Ada Lovelace","currency":"EUR"}`) {
		t.Errorf("accounts %s", list)
	}
	if got := balance(t, l, "acc-ada"); got != 290 {
		t.Errorf("Ada's balance is %d, want 290", got)
	}
	list := string(call(t, l, "", "payments", `{"account":"acc-ada","limit":1}`).Raw)
	if !strings.Contains(list, "pay-1002") || strings.Contains(list, "pay-1001") {
		t.Errorf("payments %s, want only the latest", list)
	}
}

func TestARefundIsNeverMoreThanWasPaid(t *testing.T) {
	t.Parallel()
	l := fresh(t)
	if a := call(t, l, "1", "refund", `{"payment":"pay-1001","amount":41}`); !a.IsError || !strings.Contains(string(a.Raw), "only 40 EUR") {
		t.Errorf("refunding 41 of 40: %s", a.Raw)
	}
	if a := call(t, l, "2", "refund", `{"payment":"pay-1001","amount":30,"reason":"damaged"}`); a.IsError {
		t.Errorf("refunding 30 of 40: %s", a.Raw)
	}
	if a := call(t, l, "3", "refund", `{"payment":"pay-1001","amount":11}`); !a.IsError || !strings.Contains(string(a.Raw), "only 10 EUR") {
		t.Errorf("refunding 11 of the 10 that are left: %s", a.Raw)
	}
	for _, amount := range []string{"0", "-5"} {
		if a := call(t, l, "n"+amount, "refund", `{"payment":"pay-1001","amount":`+amount+`}`); !a.IsError {
			t.Errorf("refunding %s: %s", amount, a.Raw)
		}
	}
	if got := balance(t, l, "acc-ada"); got != 260 {
		t.Errorf("balance %d, want 260", got)
	}
}

func TestTheSameCallIsAppliedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a ledger?#%41.db")
	l := open(t, path)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the ledger is elsewhere: %v", err)
	}
	const refund = `{"payment":"pay-1004","amount":100}`
	first := call(t, l, "call-1", "refund", refund)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			a, err := l.Call(t.Context(), tools.Call{ID: "call-1", Tool: "refund", Arguments: json.RawMessage(refund)})
			if err != nil || string(a.Raw) != string(first.Raw) {
				t.Errorf("again: %s, %v; want the first answer %s", a.Raw, err, first.Raw)
			}
		})
	}
	all.Wait()
	again := open(t, path)
	if a := call(t, again, "call-1", "refund", refund); string(a.Raw) != string(first.Raw) {
		t.Errorf("after reopening: %s, want the first answer", a.Raw)
	}
	if got := balance(t, again, "acc-grace"); got != 1115 {
		t.Errorf("balance %d, want 1115: 100 refunded once", got)
	}
	_, err := l.Call(t.Context(), tools.Call{ID: "call-1", Tool: "refund", Arguments: json.RawMessage(`{"payment":"pay-1004","amount":200}`)})
	if _, ok := errors.AsType[*tools.RPCError](err); !ok {
		t.Errorf("the id with other arguments: %v, want a refusal", err)
	}
	_, err = l.Call(t.Context(), tools.Call{Tool: "refund", Arguments: json.RawMessage(refund)})
	if _, ok := errors.AsType[*tools.RPCError](err); !ok {
		t.Errorf("without an id: %v, want a refusal", err)
	}
}

func TestBooksBalance(t *testing.T) {
	t.Parallel()
	l := fresh(t)
	left := int64(250) // of pay-1002
	calls := 0
	rapid.Check(t, func(rt *rapid.T) {
		amount := rapid.Int64Range(-10, 120).Draw(rt, "amount")
		calls++
		a, err := l.Call(t.Context(), tools.Call{
			ID: fmt.Sprint("call-", calls), Tool: "refund",
			Arguments: json.RawMessage(fmt.Sprintf(`{"payment":"pay-1002","amount":%d}`, amount)),
		})
		if err != nil {
			rt.Fatal(err)
		}
		if fits := amount >= 1 && amount <= left; fits == a.IsError {
			rt.Fatalf("refunding %d of %d: %s", amount, left, a.Raw)
		} else if fits {
			left -= amount
		}
	})
	if got := balance(t, l, "acc-ada"); got != 40+left {
		t.Errorf("balance %d, want %d", got, 40+left)
	}
}
