package login_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/login"
)

// deviceProvider gives a code, and answers who asks with it as it is told, in this order.
func deviceProvider(t *testing.T, code string, answers ...string) (*login.Provider, *[]url.Values) {
	t.Helper()
	var forms []url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		forms = append(forms, r.PostForm)
		answer := code
		if r.URL.Path == "/token" {
			answer, answers = answers[0], answers[1:]
		}
		if strings.Contains(answer, "error") {
			w.WriteHeader(http.StatusBadRequest)
		}
		if _, err := fmt.Fprint(w, answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return &login.Provider{Issuer: server.URL, TokenEndpoint: server.URL + "/token", DeviceEndpoint: server.URL + "/device"}, &forms
}

const (
	goodCode = `{"device_code":"dc-secret","user_code":"WDJB-MJHT","verification_uri":"https://idp.example/device",` +
		`"verification_uri_complete":"https://idp.example/device?user_code=WDJB-MJHT","expires_in":600,"interval":0.001}`
	pending = `{"error":"authorization_pending"}`
)

func TestDeviceFlow(t *testing.T) {
	t.Parallel()
	p, forms := deviceProvider(t, goodCode, pending, pending, goodAnswer)
	var shown login.DeviceCode
	c := login.Client{Provider: p, ID: "deed-cli"}
	token, err := c.DeviceFlow(t.Context(), login.DeviceRequest{
		Target: login.Target{Resource: "https://deed.example/mcp", Scopes: []string{"openid", "tools"}},
		Show:   func(_ context.Context, code login.DeviceCode) error { shown = code; return nil },
	})
	if err != nil || token.Access != "at-secret" {
		t.Fatalf("%v, %v", token, err)
	}
	if shown.UserCode != "WDJB-MJHT" || shown.Complete != "https://idp.example/device?user_code=WDJB-MJHT" || strings.Contains(fmt.Sprintf("%+v", shown), "dc-secret") {
		t.Errorf("shown %+v", shown)
	}
	first, last := (*forms)[0], (*forms)[len(*forms)-1]
	if first.Get("client_id") != "deed-cli" || first.Get("scope") != "openid tools" || first.Get("code_challenge") == "" || first.Get("grant_type") != "" {
		t.Errorf("asked for a code with %v", first)
	}
	if last.Get("device_code") != "dc-secret" || last.Get("code_verifier") == "" || last.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" {
		t.Errorf("asked for the token with %v", last)
	}
}

func TestDeviceFlowEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, code, answer, want string }{
		{"the person says no", goodCode, `{"error":"access_denied"}`, "access_denied"},
		{"the code has expired", goodCode, `{"error":"expired_token"}`, "expired_token"},
		{"nobody came", strings.Replace(goodCode, "600", "0.02", 1), pending, "in time"},
		{"no code", `{"user_code":"x"}`, "", "not complete"},
		{"a code for ever", strings.Replace(goodCode, "600", "1e9", 1), "", "not complete"},
		{"an address over plain HTTP", strings.Replace(goodCode, `"https://idp.example/device"`, `"http://idp.example/device"`, 1), "", "neither https"},
		{"no JSON", `<html>`, "", "not one to a device"},
		{"refused", `{"error":"invalid_client"}`, "", "invalid_client"},
	} {
		answers := []string{}
		for range 1000 {
			answers = append(answers, row.answer)
		}
		p, _ := deviceProvider(t, row.code, answers...)
		c := login.Client{Provider: p, ID: "deed-cli"}
		_, err := c.DeviceFlow(t.Context(), login.DeviceRequest{Show: func(context.Context, login.DeviceCode) error { return nil }})
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "dc-secret") {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if _, err := (&login.Client{Provider: &login.Provider{}}).DeviceFlow(t.Context(), login.DeviceRequest{}); err == nil || !strings.Contains(err.Error(), "no device login") {
		t.Errorf("no endpoint: %v", err)
	}
}
