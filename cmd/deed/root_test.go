package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker"
)

// stage is an environment in this process, for what scripts cannot play: terminals and browsers.
type stage struct {
	*environment
	out, err *bytes.Buffer
	vars     map[string]string
}

func newStage(stdin string) *stage {
	s := &stage{out: &bytes.Buffer{}, err: &bytes.Buffer{}, vars: map[string]string{}}
	s.environment = &environment{stdin: strings.NewReader(stdin), stdout: s.out, stderr: s.err, getenv: func(name string) string { return s.vars[name] }}
	return s
}

// withDemo gives a stage a broker and a demo issuer.
func withDemo(t *testing.T, s *stage) *fakeBroker {
	t.Helper()
	f := newFakeBroker()
	t.Cleanup(f.server.Close)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	issuer, err := demo.Start(ctx, demo.Config{URL: "http://127.0.0.1:0/demo", Resources: []string{f.server.URL + "/mcp"}})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := issuer.Wait(); err != nil {
			t.Error(err)
		}
	})
	f.issuer = issuer.URL()
	s.vars["XDG_DATA_HOME"], s.vars["DEED_URL"] = t.TempDir(), f.server.URL
	if err := demo.SaveSecrets(filepath.Join(s.vars["XDG_DATA_HOME"], "deed", "demo", secretsName), issuer.Secrets()); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestApproveAsksAtATerminal(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]struct {
		code int
		out  string
	}{
		"y\n": {exitOK, "is approved, and running"}, "YES\n": {exitOK, "is approved, and running"},
		"n\n": {exitFailed, "not approved: nothing was changed"}, "\n": {exitFailed, "not approved"}, "": {exitFailed, "not approved"},
	} {
		t.Run(fmt.Sprintf("%q", answer), func(t *testing.T) {
			t.Parallel()
			s := newStage(answer)
			s.interactive = true
			withDemo(t, s)
			code := run(t.Context(), s.environment, []string{"approve", heldID, "--as", "bob"})
			all := s.out.String() + s.err.String()
			if code != want.code || !strings.Contains(all, want.out) {
				t.Errorf("got %d: %s", code, all)
			}
			for _, shown := range []string{"payments.refund", "alice via copilot", heldDigest, `"amount": 500`, "Refunds over 100 need a lead."} {
				if !strings.Contains(s.out.String(), shown) {
					t.Errorf("the person was not shown %q", shown)
				}
			}
			if strings.ContainsRune(all, 0x1b) {
				t.Error("an argument's escape sequence reached the terminal")
			}
		})
	}
}

// browser follows the address that login prints, as a browser would, as bob.
type browser struct {
	t    *testing.T
	seen strings.Builder
}

func (b *browser) Write(p []byte) (int, error) {
	b.seen.Write(p)
	if address := regexp.MustCompile(`http://\S+`).Find(p); address != nil {
		go func() {
			r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, string(address)+"&prompt=none&login_hint=bob", nil)
			if err != nil {
				b.t.Error(err)
				return
			}
			response, err := http.DefaultTransport.RoundTrip(r)
			if err == nil {
				_ = response.Body.Close() // only where it leads matters
				if r, err = http.NewRequestWithContext(b.t.Context(), http.MethodGet, response.Header.Get("Location"), nil); err == nil {
					if response, err = http.DefaultTransport.RoundTrip(r); err == nil {
						_, err = io.Copy(io.Discard, response.Body)
						_ = response.Body.Close() // it has been read
					}
				}
			}
			if err != nil {
				b.t.Error(err)
			}
		}()
	}
	return len(p), nil
}

func TestLoginIsKeptAndUsedUntilLogout(t *testing.T) {
	t.Parallel()
	s := newStage("")
	withDemo(t, s)
	s.stderr = &browser{t: t}
	if code := run(t.Context(), s.environment, []string{"login"}); code != exitOK || !strings.Contains(s.out.String(), "signed in at") {
		t.Fatalf("got %d: %s%s", code, s.out, s.stderr.(*browser).seen.String())
	}
	info, err := os.Stat(filepath.Join(s.vars["XDG_DATA_HOME"], "deed", sessionsName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the saved sign-in has %v, %v", info.Mode(), err)
	}
	s.stderr = s.err
	if code := run(t.Context(), s.environment, []string{"call", "files.read"}); code != exitOK || !strings.Contains(s.out.String(), "for bob") {
		t.Errorf("got %d: %s%s", code, s.out, s.err)
	}
	if code := run(t.Context(), s.environment, []string{"logout"}); code != exitOK {
		t.Errorf("got %d: %s", code, s.err)
	}
	if code := run(t.Context(), s.environment, []string{"pending"}); code != exitRefused || !strings.Contains(s.err.String(), "not signed in") {
		t.Errorf("got %d: %s", code, s.err)
	}
}

func TestExpiredTokenIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage("")
	withDemo(t, s)
	if code := run(t.Context(), s.environment, []string{"token", "--user", "alice", "--agent", "copilot", "--expired"}); code != exitOK {
		t.Fatalf("got %d: %s", code, s.err)
	}
	s.vars["DEED_TOKEN"] = s.out.String()
	for _, verb := range []string{"tools", "pending"} {
		if code := run(t.Context(), s.environment, []string{verb}); code != exitRefused || !strings.Contains(s.err.String(), "the token has expired") {
			t.Errorf("%s: got %d: %s", verb, code, s.err)
		}
	}
}

func TestNobodyIsSignedInByNameElsewhere(t *testing.T) {
	t.Parallel()
	s := newStage("")
	withDemo(t, s).issuer = "https://idp.acme.example"
	code := run(t.Context(), s.environment, []string{"pending", "--as", "bob"})
	if code != exitRefused || !strings.Contains(s.err.String(), "is not the demo of this machine") {
		t.Errorf("got %d: %s", code, s.err)
	}
}

func TestLoginTrustsNoBrokerWithAnothersName(t *testing.T) {
	t.Parallel()
	s := newStage("")
	f := withDemo(t, s)
	s.vars["DEED_URL"] = strings.Replace(f.server.URL, "127.0.0.1", "localhost", 1)
	if code := run(t.Context(), s.environment, []string{"login"}); code != exitRefused || !strings.Contains(s.err.String(), "the broker calls itself "+f.server.URL) {
		t.Errorf("got %d: %s", code, s.err)
	}
}

func TestEveryErrorHasItsExitCode(t *testing.T) {
	t.Parallel()
	want := map[broker.Kind]int{
		broker.Internal: 1, broker.Invalid: 2, broker.Denied: 3, broker.Lapsed: 3, broker.NotFound: 1, broker.Conflict: 1,
		broker.Overloaded: 5, broker.LogUnavailable: 5, broker.Upstream: 1, broker.OutcomeUnknown: 6,
	}
	for kind, code := range want {
		if got := codeOf(fmt.Errorf("call: %w", &client.Error{Kind: client.Kind(kind.String())})); got != code {
			t.Errorf("%s: got %d, want %d", kind, got, code)
		}
	}
	for err, code := range map[error]int{
		&client.Error{Kind: client.Unauthenticated}: 3, &client.Error{Kind: client.Unreachable}: 5, &client.Error{Kind: "new"}: 1,
		usage("x"): 2, login.ErrNoSession: 3, audit.ErrCorrupt: 4, &seal.InconsistentError{Err: errors.New("x")}: 4, errors.New("x"): 1,
	} {
		if got := codeOf(err); got != code {
			t.Errorf("%v: got %d, want %d", err, got, code)
		}
	}
}

func TestHelpIsWhatTheGoldenFilesSay(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())
		if len(path) > 1 && (path[1] == "completion" || path[1] == "help") { // cobra's own
			return
		}
		s := newStage("")
		if code := run(t.Context(), s.environment, append(path[1:], "--help")); code != exitOK {
			t.Errorf("%s: got %d: %s", c.CommandPath(), code, s.err)
		}
		golden := filepath.Join("testdata", "help", strings.Join(path, "_")+".golden")
		if *update {
			if err := os.WriteFile(golden, s.out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		wanted, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(wanted), s.out.String()); diff != "" {
			t.Errorf("%s: run the tests with -update if this is meant:\n%s", golden, diff)
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(newStage("").environment))
}

func TestForeignTextCannotDriveATerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain äß 漢字":    "plain äß 漢字",
		"a\x1b[2Jb":      `a\u001b[2Jb`,
		"a\u202eb\u2066": `a\u202eb\u2066`,
		"line\nline\tx":  `line\u000aline\u0009x`,
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTimesThatPeopleWrite(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"2026-11-23T01:02:03Z": time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC),
		"2026-11-23":           time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
		"90m":                  now.Add(-90 * time.Minute),
		"7d":                   now.AddDate(0, 0, -7),
	} {
		if got, err := parseTime(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "yesterday", "-5m", "0d", "-1d", "1d2", "xd", "7dd"} {
		if got, err := parseTime(in, now); err == nil {
			t.Errorf("%q was taken for %v", in, got)
		}
	}
}

func TestShellQuoted(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"/var/lib/deed-1.2_x": "/var/lib/deed-1.2_x",
		"/my data":            "'/my data'",
		"it's":                `'it'\''s'`,
		"$HOME;rm":            "'$HOME;rm'",
	} {
		if got := shellQuoted(word); got != want {
			t.Errorf("%s becomes %s, want %s", word, got, want)
		}
	}
}
