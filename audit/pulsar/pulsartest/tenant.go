// Package pulsartest prepares a tenant of a real Pulsar for a test: namespaces, topics
// and permissions, made as `deed topics apply` makes them.
package pulsartest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/admin"
	"github.com/deedbroker/deed/audit/pulsar/hosts"
	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/cmd/provide"
	keys "github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// Role is whom Pulsar takes the brokers for; the role Admin administers the tenant.
const (
	Role  = "deed"
	Admin = "deed-admin"
)

// Tenant is a tenant of a test's own.
type Tenant struct {
	URL, Admin string
	Keys       keys.Keys
	Name       string
	Domains    []string
	TokenFile  string // of Role
	AdminFile  string // of the tenant's administrator
}

// Layout says how a tenant is prepared.
type Layout struct {
	Name       string   // of the tenant; a new one if empty
	Domains    []string // besides the broker's own
	Partitions int      // of calls and payloads; none if zero
}

// New makes a tenant in the Pulsar that tests share.
func New(tb testing.TB, layout Layout) *Tenant {
	tb.Helper()
	p := need.Pulsar(tb)
	return In(tb, p.URL, p.Admin, p.Keys, layout)
}

// In makes a tenant in a Pulsar.
func In(tb testing.TB, url, adminURL string, k keys.Keys, layout Layout) *Tenant {
	tb.Helper()
	t := &Tenant{URL: url, Admin: adminURL, Keys: k, Name: layout.Name, Domains: append([]string{audit.OwnDomain}, layout.Domains...)}
	if t.Name == "" {
		t.Name = "test-" + uuid.NewString()
	}
	t.TokenFile, t.AdminFile = t.Token(tb, Role, 0), t.Token(tb, Admin, 0)
	t.apply(tb, layout.Partitions)
	return t
}

// life is long enough for any test.
const life = 365 * 24 * time.Hour

// apply does what `deed topics apply` does.
func (t *Tenant) apply(tb testing.TB, partitions int) {
	tb.Helper()
	spec := topics.Spec{Tenant: t.Name, Role: Role, Admins: []string{Admin}, Backlog: 1 << 30}
	for _, d := range t.Domains {
		spec.Domains = append(spec.Domains, topics.Domain{Name: d, Retention: life, PayloadRetention: life, Partitions: partitions})
	}
	cluster, err := admin.New(admin.Options{URL: t.Admin, Token: t.superuser, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		tb.Fatal(err)
	}
	plan, _, err := topics.Look(tb.Context(), cluster, topics.Desire(spec))
	if err != nil {
		tb.Fatal(err)
	}
	if err := topics.Apply(tb.Context(), cluster, plan, false, func(topics.Step) {}); err != nil {
		tb.Fatal(err)
	}
}

func (t *Tenant) superuser() (string, error) {
	token, err := os.ReadFile(t.Keys.Path(keys.SuperuserToken))
	return strings.TrimSpace(string(token)), err
}

// Options open the log as a replica does.
func (t *Tenant) Options(replica, dir string) pulsar.Options {
	return pulsar.Options{
		URL: t.URL, Admin: t.Admin, Auth: pulsar.Auth{TokenFile: t.TokenFile}, Tenant: t.Name,
		Domains: t.Domains, Replica: replica, Dir: filepath.Join(dir, replica),
	}
}

// Token makes a file with a token for a role.
func (t *Tenant) Token(tb testing.TB, role string, lifetime time.Duration) (path string) {
	tb.Helper()
	token, err := t.Keys.Token(role, lifetime)
	if err != nil {
		tb.Fatal(err)
	}
	path = filepath.Join(tb.TempDir(), role+".token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Do asks the admin API as the superuser, and fails the test unless that succeeds. A
// policy of a topic may need a moment until it can be set: it is tried again.
func (t *Tenant) Do(tb testing.TB, method, path string, body any) []byte {
	tb.Helper()
	var answer []byte
	err := provide.Await(tb.Context(), time.Minute, func(ctx context.Context) (err error) {
		answer, err = t.ask(ctx, method, path, body)
		return err
	})
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

func (t *Tenant) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	token, err := t.superuser()
	if err != nil {
		return nil, err
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	base, whichever, err := hosts.New(t.Admin, http.DefaultTransport)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/admin/v2/"+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := (&http.Client{Transport: whichever}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s: %.300s", resp.Status, answer)
	}
	return answer, err
}
