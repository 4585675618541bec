package login

import (
	"testing"
	"time"
)

// Whatever a provider answers, a token comes out whole or not at all.
func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","token_type":"Bearer","expires_in":60}`, `{"access_token":"a","token_type":"bearer","expires_in":"60","scope":"a b"}`,
		`{"access_token":"a","token_type":"bearer","expires_in":-1}`, `{"access_token":"a","token_type":"bearer","expires_in":1e999}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := parseToken(body, now)
		if (token == nil) == (err == nil) {
			t.Fatalf("token %v with error %v", token != nil, err)
		}
		if err == nil && (token.Access == "" || !token.Expires.IsZero() && token.Expires.Year() > 2130) {
			t.Errorf("token until %s", token.Expires)
		}
	})
}
