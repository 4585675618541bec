package witness_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	_ "modernc.org/sqlite"

	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/audit/witness"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// A witness that is not ours signs what our client brings it, and our verifier accepts it.
func TestTheirWitness(t *testing.T) {
	t.Parallel()
	binary := need.Env(t, need.LiteWitness)
	h := newHistory(t)
	h.call(t, 3)
	theirs := startLiteWitness(t, binary, h.key.Verifier(), "deed/acme/payments/calls", "deed/acme/deed/control")
	for range 3 {
		if err := h.round(t, 0, theirs); err != nil {
			t.Fatal(err)
		}
		h.call(t, 40)
	}
	if err := h.round(t, 0, theirs); err != nil {
		t.Fatal(err)
	}
	r := h.verify(t, verify.Options{Witnesses: []seal.WitnessKey{theirs.Key}})
	if !r.OK() {
		t.Errorf("findings: %v", r.Findings)
	}
	for _, l := range r.Logs {
		if l.Log == "payments/calls" && l.Witnessed != 246 {
			t.Errorf("witnessed %d of %d", l.Witnessed, l.Size)
		}
	}
}

// startLiteWitness runs litewitness with a key in an agent and the logs in its database.
func startLiteWitness(t *testing.T, binary string, key seal.Verifier, origins ...string) *witness.Client {
	t.Helper()
	dir := t.TempDir()
	socket, fingerprint := serveKey(t, dir)
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-name", "lite.example/w", "-db", filepath.Join(dir, "db"), "-ssh-agent", socket, "-key", fingerprint, "-listen", listen)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was killed
	lines := bufio.NewScanner(out)
	var theirs string
	vkey := regexp.MustCompile(`lite\.example/w\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+`)
	for lines.Scan() {
		t.Log(lines.Text())
		if theirs == "" {
			theirs = vkey.FindString(lines.Text())
		}
		if strings.Contains(lines.Text(), "listening") {
			break
		}
	}
	go func() {
		for lines.Scan() { // so that it is never blocked
		}
	}()
	addLogs(t, filepath.Join(dir, "db"), key, origins)
	parsed, err := seal.ParseWitnessKey(theirs)
	if err != nil {
		t.Fatal(err)
	}
	return &witness.Client{URL: "http://" + listen, Key: parsed, HTTP: &http.Client{}}
}

func addLogs(t *testing.T, path string, key seal.Verifier, origins []string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // what was written shows
	for _, origin := range origins {
		empty := "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
		if _, err := db.ExecContext(t.Context(), "INSERT INTO log VALUES (?, 0, ?)", origin, empty); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO key VALUES (?, ?)", origin, key.String()); err != nil {
			t.Fatal(err)
		}
	}
}

// serveKey has an SSH agent with a new key.
func serveKey(t *testing.T, dir string) (socket, fingerprint string) {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: secret}); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "agent")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }() // until it hangs up
		}
	}()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return socket, ssh.FingerprintSHA256(key)
}

// A client that is not ours brings our witness what to sign, and a verifier that is not
// ours accepts what it signs.
func TestTheirClient(t *testing.T) {
	t.Parallel()
	binary := need.Env(t, need.WitnessClient)
	h := newHistory(t)
	h.call(t, 3)
	ours := newWitness(t, "one.example/w", h.key.Verifier())
	signed, c, _ := h.sealer.Latest("payments/calls")
	ask := func(old int64) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, ours.URL, fmt.Sprint(old))
		cmd.Stdin = strings.NewReader(signed)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		return string(out)
	}
	theirs, err := formats.NewVerifierForCosignatureV1(ours.Key.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open([]byte(signed+ask(0)), note.VerifierList(theirs)); err != nil {
		t.Error(err)
	}
	if got, want := ask(0), fmt.Sprintf("stale %d\n", c.Size); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := note.Open([]byte(signed+ask(c.Size)), note.VerifierList(theirs)); err != nil {
		t.Error(err)
	}
}
