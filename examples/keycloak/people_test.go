package keycloak_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/provide/keycloak"
)

// deed runs the command line to its end.
func (r *rig) deed(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), r.binary, args...)
	cmd.Env = r.env()
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("deed %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}

var address = regexp.MustCompile(`http://\S+`)

// loginBy runs deed login, and has bob go to the address that it prints.
func (r *rig) loginBy(t *testing.T, visit func(ctx context.Context, address string) error, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), r.binary, append([]string{"login", "--scope", "openid,tools"}, args...)...)
	cmd.Env = r.env()
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	visited := false
	for lines := bufio.NewScanner(said); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if found := address.FindString(lines.Text()); found != "" && !visited {
			visited = true
			if err := visit(t.Context(), found); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !visited {
		t.Fatalf("deed login: %v\n%s", err, &text)
	}
}

func TestDeedLogin(t *testing.T) {
	t.Parallel()
	r := serve(t)
	for name, login := range map[string]func(){
		"in a browser on this machine": func() {
			r.loginBy(t, func(ctx context.Context, address string) error { return r.signIn(ctx, "bob", address) })
		},
		"with a code, in a browser anywhere": func() {
			r.loginBy(t, func(ctx context.Context, address string) error {
				b := keycloak.Browser{User: "bob", Password: "bob"}
				_, err := b.Visit(ctx, address)
				return err
			}, "--device")
		},
	} {
		login()
		if said := r.deed(t, "pending"); strings.Contains(said, "error") {
			t.Errorf("%s: %s", name, said)
		}
		if said := r.deed(t, "tools"); !strings.Contains(said, "payments.refund") {
			t.Errorf("%s: %s", name, said)
		}
		r.deed(t, "logout")
		cmd := exec.CommandContext(t.Context(), r.binary, "pending")
		cmd.Env = r.env()
		if said, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%s: after the logout: %s", name, said)
		}
	}
}

// The console logs people in by code and PKCE, and remembers them by a cookie that no
// script and no other site can use.
func TestTheConsoleLogsPeopleIn(t *testing.T) {
	t.Parallel()
	r := serve(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(address string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := browser.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		return response
	}
	to := get(r.url + "/login").Header.Get("Location")
	if !strings.HasPrefix(to, r.realm.Issuer) || !strings.Contains(to, "code_challenge_method=S256") {
		t.Fatalf("the console sends people to %q", to)
	}
	person := keycloak.Browser{User: "bob", Password: "bob"}
	back, err := person.Visit(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	response := get(back)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("back at the console: %d", response.StatusCode)
	}
	found := false
	for _, c := range response.Cookies() {
		if c.Name == "deed_session" {
			found = c.HttpOnly && c.SameSite == http.SameSiteStrictMode && c.Value != ""
		}
	}
	if !found {
		t.Errorf("cookies %v", response.Header["Set-Cookie"])
	}
	if got := get(r.url + "/v1/whoami"); got.StatusCode != http.StatusOK {
		t.Errorf("the session: %d", got.StatusCode)
	}
	forged, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/v1/calls/x/approvals", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	forged.Header.Set("Sec-Fetch-Site", "cross-site")
	got, err := browser.Do(forged)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	if got.StatusCode != http.StatusForbidden {
		t.Errorf("another site's page uses the session: %d", got.StatusCode)
	}
	if got := get(back); got.StatusCode == http.StatusOK {
		t.Error("the same answer logs in twice")
	}
}
