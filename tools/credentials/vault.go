package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultVaultRefresh is how often a secret without a lease is looked at again.
	DefaultVaultRefresh = time.Minute
	maxVaultAnswer      = 1 << 20
	kubernetesMount     = "kubernetes"
)

// VaultConfig is a Vault or OpenBao server and how the broker logs in there: by a token
// that somebody else renews, or by a Kubernetes service account.
type VaultConfig struct {
	URL       string // of the server, such as https://vault.acme.example:8200
	Namespace string
	Token     Source // nil with Role

	Role  string // of the kubernetes auth method
	Mount string // where that is enabled; "kubernetes" if empty
	JWT   Source // the service account's token

	Refresh time.Duration // DefaultVaultRefresh if 0
	Client  *http.Client  // required; it must not follow redirects
}

// Vault reads secrets over the HTTP API that Vault and OpenBao share.
type Vault struct {
	c     VaultConfig
	login *cached // the client token
}

// NewVault contacts nobody until a secret is asked for.
func NewVault(c VaultConfig) (*Vault, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("configure vault: the URL is none of scheme, host and path alone")
	case (c.Token == nil) == (c.Role == ""):
		return nil, errors.New("configure vault: either a token or a role is needed")
	case c.Role != "" && c.JWT == nil:
		return nil, errors.New("configure vault: a role needs the service account's token")
	case c.Client == nil:
		return nil, errors.New("configure vault: a client is required")
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	if c.Mount == "" {
		c.Mount = kubernetesMount
	}
	if c.Refresh == 0 {
		c.Refresh = DefaultVaultRefresh
	}
	v := &Vault{c: c}
	v.login = newCached("vault login", v.logIn)
	return v, nil
}

// Secret is one field of what is at a path of the API: of the newest version with the
// key-value engine (kv/data/crm), of a lease with engines that make secrets (database/creds/crm).
func (v *Vault) Secret(path, field string) Source {
	ref := "vault://" + path + "#" + field
	return single{newCached(ref, func(ctx context.Context) (fetched, error) { return v.read(ctx, ref, path, field) })}
}

// answer is that of the vault's API.
type vaultAnswer struct {
	Lease     string                     `json:"lease_id"`
	LeaseTime int64                      `json:"lease_duration"` // seconds
	Data      map[string]json.RawMessage `json:"data"`
	Auth      *struct {
		Token     string `json:"client_token"`
		LeaseTime int64  `json:"lease_duration"`
	} `json:"auth"`
}

func (v *Vault) read(ctx context.Context, ref, path, field string) (fetched, error) {
	token, err := v.token(ctx)
	if err != nil {
		return fetched{}, err
	}
	a, status, err := v.ask(ctx, http.MethodGet, path, token.Value, nil)
	if err == nil && status == http.StatusForbidden { // the client token may have been withdrawn
		v.tokenRefused(token)
		again, retry := v.token(ctx)
		if retry == nil && again.Value != token.Value {
			a, status, err = v.ask(ctx, http.MethodGet, path, again.Value, nil)
		}
	}
	if err != nil {
		return fetched{}, err
	}
	if status != http.StatusOK {
		return fetched{}, fmt.Errorf("the vault answered with HTTP %d", status)
	}
	return v.pick(a, ref, field)
}

// pick takes the field out of an answer.
func (v *Vault) pick(a vaultAnswer, ref, field string) (fetched, error) {
	data, version := a.Data, ""
	var meta struct {
		Version int64 `json:"version"`
	}
	if inner, isKV := a.Data["data"]; isKV && json.Unmarshal(a.Data["metadata"], &meta) == nil {
		data, version = nil, strconv.FormatInt(meta.Version, 10)
		if json.Unmarshal(inner, &data) != nil {
			return fetched{}, errors.New("the vault's answer cannot be read")
		}
	}
	var text string
	if raw, ok := data[field]; !ok || json.Unmarshal(raw, &text) != nil {
		return fetched{}, errors.New("there is no text under that field")
	}
	got, err := secret(ref, text, v.c.Refresh)
	if err != nil {
		return fetched{}, err
	}
	got.Version, got.Lease = version, a.Lease
	if a.Lease != "" && a.LeaseTime > 0 {
		got.fresh, got.Expires = 0, time.Now().Add(time.Duration(a.LeaseTime)*time.Second)
	}
	return got, nil
}

func (v *Vault) token(ctx context.Context) (Credential, error) {
	if v.c.Token != nil {
		return v.c.Token.Get(ctx, Subject{})
	}
	return v.login.get(ctx)
}

func (v *Vault) tokenRefused(c Credential) {
	if v.c.Token != nil {
		v.c.Token.Refused(Subject{}, c)
		return
	}
	v.login.refused(c.Value)
}

// logIn gets a client token for the service account.
func (v *Vault) logIn(ctx context.Context) (fetched, error) {
	jwt, err := v.c.JWT.Get(ctx, Subject{})
	if err != nil {
		return fetched{}, err
	}
	a, status, err := v.ask(ctx, http.MethodPost, "auth/"+v.c.Mount+"/login", "", map[string]string{"role": v.c.Role, "jwt": jwt.Value.Reveal()})
	switch {
	case err != nil:
		return fetched{}, err
	case status != http.StatusOK || a.Auth == nil || a.Auth.Token == "":
		return fetched{}, fmt.Errorf("the vault did not log the service account in: HTTP %d", status)
	}
	life := max(time.Duration(a.Auth.LeaseTime)*time.Second, time.Second)
	return fetched{Credential{Secret(a.Auth.Token), Reference{Source: "vault login", Expires: time.Now().Add(life)}}, 0}, nil
}

// ask makes one request. Nothing of an answer that is not one gets into the error.
func (v *Vault) ask(ctx context.Context, method, path string, token Secret, body any) (a vaultAnswer, status int, err error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return a, 0, fmt.Errorf("encode request: %w", err)
		}
		content = strings.NewReader(string(text))
	}
	r, err := http.NewRequestWithContext(ctx, method, v.c.URL+"/v1/"+path, content)
	if err != nil {
		return a, 0, errors.New("the path is none of a URL")
	}
	r.Header.Set("X-Vault-Request", "true")
	if token != "" {
		r.Header.Set("X-Vault-Token", token.Reveal())
	}
	if v.c.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", v.c.Namespace)
	}
	response, err := v.c.Client.Do(r)
	if err != nil {
		return a, 0, brief(err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxVaultAnswer))
	if err != nil {
		return a, 0, brief(err)
	}
	if response.StatusCode == http.StatusOK && json.Unmarshal(text, &a) != nil {
		return vaultAnswer{}, 0, errors.New("the vault's answer cannot be read")
	}
	return a, response.StatusCode, nil
}

// brief is an HTTP client's error without the URL.
func brief(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
