package keycloak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Admin uses the admin API of a Keycloak.
type Admin struct {
	URL      string // of the server
	Password string

	client http.Client
}

// NewAdmin is the administrator of the Keycloak at url.
func NewAdmin(url, password string) *Admin {
	return &Admin{URL: url, Password: password, client: http.Client{Timeout: time.Minute}}
}

// Import makes a realm of its JSON representation.
func (a *Admin) Import(ctx context.Context, realm []byte) error {
	return a.Do(ctx, http.MethodPost, "", json.RawMessage(realm), nil)
}

// Delete removes a realm.
func (a *Admin) Delete(ctx context.Context, realm string) error {
	return a.Do(ctx, http.MethodDelete, "/"+realm, nil, nil)
}

// Do sends a request to a path below /admin/realms, with a body unless it is nil, and
// decodes the answer unless into is nil.
func (a *Admin) Do(ctx context.Context, method, path string, body, into any) error {
	token, err := a.token(ctx)
	if err != nil {
		return fmt.Errorf("log in as administrator: %w", err)
	}
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, a.URL+"/admin/realms"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if err := a.send(r, into); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// token is a fresh one each time: it lives for a minute.
func (a *Admin) token(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {AdminUser}, "password": {a.Password}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+"/realms/master/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		Token string `json:"access_token"`
	}
	err = a.send(r, &answer)
	return answer.Token, err
}

func (a *Admin) send(r *http.Request, into any) (err error) {
	response, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("Keycloak answered %d: %s", response.StatusCode, text) //nolint:staticcheck // a name
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
