package servers_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestRestartWhileHeld stops the server while a client waits for a held call.
func TestRestartWhileHeld(t *testing.T) {
	t.Parallel()
	for name, open := range clients() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			d := serve(t, "45s")
			token := d.copilot(t)
			path := d.file("published", "news.txt")
			args := map[string]any{"path": path, "content": "after a restart"}
			waiting := c.start(t, d, token, writeFile, args)
			d.await(t, "the call is held", func() bool { return len(d.pending(t)) == 1 })
			id := d.pending(t)[0].ID
			d.stop(t)

			got := <-waiting
			if got.err != nil {
				t.Fatalf("the call that was open: %v", got.err)
			}
			t.Log(shown(writeFile, args, got.answer))
			if heldID(t, got.answer) != id {
				t.Errorf("the client was told of another call than %s: %+v", id, got.answer)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the call was run")
			}

			d.start(t)
			d.approve(t, id)
			again := c.call(t, d, token, writeFile, args)
			if again.code != 0 || fileText(t, path) != "after a restart" {
				t.Errorf("picked up: %+v", again)
			}
			// The outcome is the log's: it can be asked for after one more restart.
			d.stop(t)
			d.start(t)
			awaited := c.call(t, d, token, "deed__await", map[string]any{"call_id": id})
			if awaited.code != 0 || awaited.text() != again.text() {
				t.Errorf("asked for after another restart: %+v, want %+v", awaited, again)
			}
			if more := d.pending(t); len(more) != 0 {
				t.Errorf("held once more: %+v", more)
			}
		})
	}
}

// TestKilledServer kills one server's process: the other goes on, and the killed one
// comes back.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	d := serve(t, "200ms")
	c, token := pythonClient(t), d.copilot(t)
	running := c.start(t, d, token, "everything__trigger-long-running-operation", map[string]any{"duration": 300, "steps": 2})
	d.awaitRunning(t)
	was := d.pid(t, "everything.pid")
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// It ran when its server died: nobody knows how far it came.
	if got := <-running; got.err != nil || got.answer.code != 1 || !strings.HasPrefix(got.answer.text(), "outcome unknown: ") {
		t.Errorf("the call that ran: %v %+v, want an unknown outcome", got.err, got.answer)
	} else {
		t.Log(got.answer.text())
	}
	if got := c.call(t, d, token, "filesystem__list_directory", map[string]any{"path": d.file()}); got.code != 0 || !strings.Contains(got.text(), "drafts") {
		t.Errorf("the other server: %+v", got)
	}
	t.Log(d.awaitLog(t, `"upstream stopped"`, `"upstream":"everything"`, `"restart_in"`))
	d.await(t, "the server is back", func() bool { return d.ready(t, "upstreams") })
	if is := d.pid(t, "everything.pid"); is == was {
		t.Error("the process was not started again")
	}
	if got := c.call(t, d, token, "everything__echo", map[string]any{"message": "back"}); got.code != 0 || !strings.Contains(got.text(), "back") {
		t.Errorf("the server that was killed: %+v", got)
	}
	if line := d.log.find(`"upstream stopped"`, `"upstream":"filesystem"`); line != "" {
		t.Errorf("the other server stopped, too: %s", line)
	}
}
