// Package pulsartest prepares a tenant of a real Pulsar for a test: namespaces, topics
// and permissions, as `deed topics apply` makes them for deed.yaml.
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
func In(tb testing.TB, url, admin string, k keys.Keys, layout Layout) *Tenant {
	tb.Helper()
	t := &Tenant{URL: url, Admin: admin, Keys: k, Name: layout.Name, Domains: append([]string{audit.OwnDomain}, layout.Domains...)}
	if t.Name == "" {
		t.Name = "test-" + uuid.NewString()
	}
	t.TokenFile, t.AdminFile = t.Token(tb, Role, 0), t.Token(tb, Admin, 0)
	t.Do(tb, http.MethodPut, "tenants/"+t.Name, map[string]any{"adminRoles": []string{Admin}, "allowedClusters": t.clusters(tb)})
	for _, d := range t.Domains {
		t.domain(tb, d, layout.Partitions)
	}
	return t
}

func (t *Tenant) domain(tb testing.TB, domain string, partitions int) {
	tb.Helper()
	ns := t.Name + "/" + domain
	t.Do(tb, http.MethodPut, "namespaces/"+ns, map[string]any{"deduplicationEnabled": true, "bundles": map[string]any{"numBundles": 1}})
	t.Do(tb, http.MethodPost, "namespaces/"+ns+"/permissions/"+Role, []string{"produce", "consume"})
	t.Do(tb, http.MethodPost, "namespaces/"+ns+"/retention", map[string]any{"retentionTimeInMinutes": -1, "retentionSizeInMB": -1})
	for _, topic := range append(pulsar.EventTopics(domain), pulsar.TopicPayloads, pulsar.TopicKeys) {
		path := "persistent/" + ns + "/" + topic
		if partitions > 0 && (topic == audit.TopicCalls || topic == pulsar.TopicPayloads) {
			t.Do(tb, http.MethodPut, path+"/partitions", partitions)
		} else {
			t.Do(tb, http.MethodPut, path, nil)
		}
		if topic == pulsar.TopicPayloads || topic == pulsar.TopicKeys {
			t.Do(tb, http.MethodPost, path+"/deduplicationEnabled", false)
		}
		if topic == pulsar.TopicKeys {
			t.Do(tb, http.MethodPost, path+"/retention", map[string]any{"retentionTimeInMinutes": 0, "retentionSizeInMB": 0})
		}
	}
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

func (t *Tenant) clusters(tb testing.TB) []string {
	tb.Helper()
	var names []string
	if err := json.Unmarshal(t.Do(tb, http.MethodGet, "clusters", nil), &names); err != nil {
		tb.Fatal(err)
	}
	return names
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
	token, err := os.ReadFile(t.Keys.Path(keys.SuperuserToken))
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
	req, err := http.NewRequestWithContext(ctx, method, t.Admin+"/admin/v2/"+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := new(http.Client).Do(req)
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
