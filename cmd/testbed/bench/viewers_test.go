package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestViewersCountWhatTheyRead(t *testing.T) {
	t.Parallel()
	const each = 1000
	connected := make(chan struct{})
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/stream" || r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("it asks for %s with %v", r.URL, r.Header)
		}
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		<-connected // what comes with the answer is not counted
		_, _ = conn.Write(make([]byte, each))
		_, _ = io.Copy(io.Discard, in)
		_ = conn.Close()
	}))
	defer stream.Close()
	order, err := json.Marshal(watchOrder{URL: stream.URL, Tokens: []string{"token"}, Viewers: 5})
	if err != nil {
		t.Fatal(err)
	}
	in, tell := io.Pipe()
	heard, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- watch(t.Context(), in, out) }()
	if _, err := tell.Write(append(order, '\n')); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(heard)
	if line, err := lines.ReadString('\n'); err != nil || line != "connected\n" {
		t.Fatalf("it says %q: %v", line, err)
	}
	close(connected)
	_ = tell.Close() // never fails
	if line, err := lines.ReadString('\n'); err != nil || line != "5000\n" {
		t.Errorf("it read %q: %v", line, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheReportOfViewersSaysWhetherTheySlowCalls(t *testing.T) {
	t.Parallel()
	for slower, want := range map[float64]string{0.04: "met    p50 with viewers is +4.0 %, target +5 %", 0.2: "MISSED p50 with viewers is +20.0 %, target +5 %"} {
		a := audience{Rate: 250, Target: maxSlower, Slower: slower, Met: slower <= maxSlower, With: []watching{{}, {Viewers: 1000}}}
		var out bytes.Buffer
		if err := a.write(&out, false); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("it says %v\n%s", err, out.String())
		}
	}
}
