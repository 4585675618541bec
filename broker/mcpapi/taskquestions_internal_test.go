package mcpapi

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func TestMessagesAboutATaskSaySo(t *testing.T) {
	t.Parallel()
	const about = `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}`
	for params, want := range map[string]string{
		``:                           `{` + about,
		`{}`:                         `{` + about,
		`{"message":"Who?"}`:         `{"message":"Who?",` + about,
		`{"_meta":{ },"n":1.0}`:      `{"n":1.0,` + `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}`,
		`{"_meta":{"a":1},"b":[{}]}`: `{"b":[{}],"_meta":{"a":1,"io.modelcontextprotocol/related-task":{"taskId":"t"}}}`,
	} {
		got := related(jsontext.Value(params), "t")
		if string(got) != want || !json.Valid(got) {
			t.Errorf("%s becomes %s, want %s", params, got, want)
		}
	}
}

// A question is given once at a time, is answered key by key, and nobody waits for ever.
func TestQuestionsOfTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newTaskQuestions()
		type end struct {
			answers string
			err     error
		}
		ended := make(chan end, 1)
		ask := func() {
			go func() {
				a, err := q.ask(t.Context(), "c", json.RawMessage(`{"x":{"method":"m"},"y":{"method":"m"}}`), time.Minute)
				ended <- end{string(a), err}
			}()
			synctest.Wait()
		}
		ask()
		if got := string(q.requests("c")); got != `{"1.x":{"method":"m"},"1.y":{"method":"m"}}` || q.any("d") {
			t.Errorf("it asks %s", got)
		}
		q.answer("c", jsontext.Value(`{"1.x":{"a":1},"y":{},"2.y":{}}`))
		if got := string(q.requests("c")); got != `{"1.y":{"method":"m"}}` {
			t.Errorf("half answered, it asks %s", got)
		}
		q.answer("c", jsontext.Value(`{"1.y":{"b":2}}`))
		if got := <-ended; got.err != nil || got.answers != `{"x":{"a":1},"y":{"b":2}}` {
			t.Errorf("answered with %+v", got)
		}
		if q.any("c") {
			t.Error("it is still open")
		}
		ask()
		one := q.next(t.Context(), "c")
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if other := q.next(brief, "c"); other != nil {
			t.Error("a question was given to two")
		}
		q.giveBack(one)
		if q.next(t.Context(), "c") != one {
			t.Error("a question that was given back is lost")
		}
		if got := <-ended; !errors.Is(got.err, errNotAnswered) || q.any("c") {
			t.Errorf("not answered: %+v", got)
		}
	})
}
