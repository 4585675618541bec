package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// stdioBridge is a copilot's end of deed stdio.
type stdioBridge struct {
	in  io.Writer
	out *bufio.Scanner
}

func (h home) bridge(t *testing.T, args ...string) *stdioBridge {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	c := h.command(ctx, append([]string{"stdio"}, args...)...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		_ = in.Close() // which ends it, unless it has ended
		if err := c.Wait(); err != nil {
			t.Errorf("deed stdio: %v", err)
		}
	})
	return &stdioBridge{in, bufio.NewScanner(out)}
}

// ask sends a request, and returns the answer to it.
func (b *stdioBridge) ask(t *testing.T, id int, method, params string) string {
	t.Helper()
	b.tell(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{%s}}`, id, method, params))
	for b.out.Scan() {
		if line := b.out.Text(); strings.Contains(line, fmt.Sprintf(`"id":%d,`, id)) || strings.Contains(line, fmt.Sprintf(`"id":%d}`, id)) {
			return line
		}
	}
	t.Fatalf("no answer to %s: %v", method, b.out.Err())
	return ""
}

func (b *stdioBridge) tell(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(b.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// TestACopilotOutlivesTheRestartOfItsBroker kills the broker under a copilot that is bridged to it, in both generations
// of the protocol: the bridge opens the session again, and gets another token where the demo's issuer has new keys.
func TestACopilotOutlivesTheRestartOfItsBroker(t *testing.T) {
	t.Parallel()
	h, pays := newHome(t), &till{taken: make(chan struct{}, 16)}
	web := httptest.NewServer(pays)
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	broker, issuer := need.Address(t), need.Address(t)
	url, yaml := "http://"+broker, filepath.Join(string(h), "deed.yaml")
	for name, text := range map[string]string{
		"deed.yaml": fmt.Sprintf(tillConfig, broker, issuer, web.URL), "all.cedar": `permit (principal, action in Action::"call", resource);`,
	} {
		if err := os.WriteFile(filepath.Join(string(h), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	served := h.start(t, "serve", "--demo-issuer", "-c", yaml)
	awaitReady(t, url)
	const meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"copilot","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	bridges := map[string]*stdioBridge{"": h.bridge(t, "--as", "alice", "--agent", "copilot", "--url", url), meta: h.bridge(t, "--as", "alice", "--agent", "copilot", "--url", url, "--upstream", "till")}
	bridges[""].ask(t, 1, "initialize", `"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"copilot","version":"1"}`)
	bridges[""].tell(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	pay := func(meta string, id int) string {
		name := "till__pay"
		if meta != "" {
			name = "pay"
		}
		return bridges[meta].ask(t, id, "tools/call", fmt.Sprintf(`"name":%q,"arguments":{"amount":%d}%s`, name, id, meta))
	}
	for meta := range bridges {
		if said := pay(meta, 2); !strings.Contains(said, `payments`) || strings.Contains(said, "isError") {
			t.Fatalf("before: %s", said)
		}
	}
	served.kill(t)
	for meta := range bridges {
		if said := pay(meta, 3); !strings.Contains(said, "no broker answers") {
			t.Errorf("meanwhile: %s", said)
		}
	}
	h.start(t, "serve", "--demo-issuer", "-c", yaml)
	awaitReady(t, url)
	for meta := range bridges {
		if said := pay(meta, 4); !strings.Contains(said, `payments`) || strings.Contains(said, "isError") {
			t.Errorf("after: %s", said)
		}
	}
	if n := len(pays.payments()); n != 4 {
		t.Errorf("paid %d times, want 4", n)
	}
}
