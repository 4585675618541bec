package statement_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/statement"
)

const callID = "019ab000-0000-7000-8000-000000000001"

var now = time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)

func intent() *audit.Intent {
	return &audit.Intent{
		Tool: "payments.refund", Arguments: audit.Commitment{Digest: strings.Repeat("ab", 32)},
		Identity: audit.Identity{Issuer: "https://idp.example", Principal: "alice", Chain: []audit.Actor{{ID: "sub-agent"}, {ID: "copilot"}}},
	}
}

func newKey(tb testing.TB) (*statement.Key, statement.Keys, audit.StatementKey) {
	tb.Helper()
	k, err := statement.NewKey(now)
	if err != nil {
		tb.Fatal(err)
	}
	a := k.Announcement("deed://acme/main", now.Add(time.Hour))
	public, err := statement.Public(a)
	if err != nil {
		tb.Fatal(err)
	}
	return k, statement.Keys{k.ID(): public}, a
}

func sign(tb testing.TB, k *statement.Key, c statement.Claims) string {
	tb.Helper()
	token, err := k.Sign(c)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func TestAStatementSaysWhoCallsWhatForWhom(t *testing.T) {
	t.Parallel()
	k, keys, _ := newKey(t)
	made := statement.Of("acme", callID, intent(), now)
	c, id, err := keys.Open(sign(t, k, made))
	if err != nil || id != k.ID() {
		t.Fatal(id, err)
	}
	if diff := cmp.Diff(made, c); diff != "" {
		t.Error(diff)
	}
	if c.Subject != "alice" || c.Workload != "sub-agent" || !cmp.Equal(c.Chain(), []string{"sub-agent", "copilot"}) || c.Tool != "payments.refund" {
		t.Errorf("it says %+v", c)
	}
	if err := c.Fits(statement.Of("acme", callID, intent(), now.Add(time.Second))); err != nil {
		t.Error(err)
	}
	if err := c.Current("acme", now.Add(time.Minute)); err != nil {
		t.Error(err)
	}
}

// TestOthersReadIt: what is signed here verifies with a library of others, by the JWK set.
func TestOthersReadIt(t *testing.T) {
	t.Parallel()
	k, _, a := newKey(t)
	set, err := json.Marshal(statement.JWKSet{Keys: []statement.JWK{statement.JWKOf(a)}})
	if err != nil {
		t.Fatal(err)
	}
	var read jose.JSONWebKeySet
	if err := json.Unmarshal(set, &read); err != nil {
		t.Fatal(err)
	}
	thumbprint, err := read.Keys[0].Thumbprint(5) // SHA-256
	if err != nil || base64.RawURLEncoding.EncodeToString(thumbprint) != k.ID() {
		t.Errorf("the thumbprint is %x, %v", thumbprint, err)
	}
	signed, err := jose.ParseSignedCompact(sign(t, k, statement.Of("acme", callID, intent(), now)), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(read.Key(k.ID())[0]); err != nil {
		t.Error(err)
	}
	if typ := signed.Signatures[0].Header.ExtraHeaders["typ"]; typ != "txntoken+jwt" {
		t.Errorf("its type is %v", typ)
	}
}

func TestAnythingElseIsRefused(t *testing.T) {
	t.Parallel()
	k, keys, _ := newKey(t)
	other, _, _ := newKey(t)
	good := sign(t, k, statement.Of("acme", callID, intent(), now))
	parts := strings.Split(good, ".")
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	signed := func(header, body string) string {
		_, secret, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		return part(header) + "." + part(body) + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(secret, []byte(part(header)+"."+part(body))))
	}
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"a changed body":         {parts[0] + "." + part(`{"txn":"other"}`) + "." + parts[2], statement.ErrSignature},
		"no signature":           {parts[0] + "." + parts[1] + ".", statement.ErrSignature},
		"another key":            {sign(t, other, statement.Of("acme", callID, intent(), now)), statement.ErrUnknownKey},
		"another key's id":       {signed(`{"alg":"EdDSA","typ":"txntoken+jwt","kid":"`+k.ID()+`"}`, `{}`), statement.ErrSignature},
		"no algorithm":           {signed(`{"alg":"none","typ":"txntoken+jwt","kid":"`+k.ID()+`"}`, `{}`), nil},
		"an access token":        {signed(`{"alg":"EdDSA","typ":"at+jwt","kid":"`+k.ID()+`"}`, `{}`), nil},
		"a header twice":         {signed(`{"alg":"EdDSA","typ":"txntoken+jwt","typ":"at+jwt","kid":"`+k.ID()+`"}`, `{}`), nil},
		"no token":               {"", nil},
		"beyond all bounds":      {strings.Repeat("a", 1<<20), nil},
		"padding":                {good + "=", statement.ErrSignature},
		"a signature spelt anew": {good[:len(good)-1] + string(good[len(good)-1]+1), statement.ErrSignature},
	} {
		if c, _, err := keys.Open(tt.token); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestAStatementOfAnotherCallDoesNotFit(t *testing.T) {
	t.Parallel()
	changes := map[string]func(*statement.Claims){
		"tenant": func(c *statement.Claims) { c.Issuer = "deed://other" }, "domain": func(c *statement.Claims) { c.Audience = "deed://other" },
		"call": func(c *statement.Claims) { c.Call = "other" }, "subject": func(c *statement.Claims) { c.Subject = "bob" },
		"person": func(c *statement.Claims) { c.Context.Person = false },
		"chain":  func(c *statement.Claims) { c.Actor = c.Actor.Actor }, "no chain": func(c *statement.Claims) { c.Actor = nil },
		"requester": func(c *statement.Claims) { c.Workload = "copilot" }, "tool": func(c *statement.Claims) { c.Tool = "payments.charge" },
		"arguments": func(c *statement.Claims) { c.Context.Arguments = "00" }, "issuer": func(c *statement.Claims) { c.Context.Issuer = "https://other.example" },
		"time": func(c *statement.Claims) { c.IssuedAt -= 3600 },
	}
	for name, change := range changes {
		c := statement.Of("acme", callID, intent(), now)
		change(&c)
		if c.Fits(statement.Of("acme", callID, intent(), now)) == nil {
			t.Errorf("another %s fits", name)
		}
	}
}

func TestAnEditedCallsStatementNamesBothArguments(t *testing.T) {
	t.Parallel()
	in := intent()
	edit := audit.Edit{Arguments: audit.Commitment{Digest: strings.Repeat("cd", 32)}, By: audit.Identity{Principal: "bob"}}
	c := statement.Edited("acme", callID, in, edit, now)
	if c.Context.Arguments != edit.Arguments.Digest || c.Context.Asked != in.Arguments.Digest || c.Context.Editor != "bob" || c.Subject != "alice" {
		t.Errorf("it says %+v", c)
	}
	other := edit
	other.By.Principal = "dave"
	for name, want := range map[string]statement.Claims{
		"the call as it was": statement.Of("acme", callID, in, now), "another's edit": statement.Edited("acme", callID, in, other, now),
	} {
		if c.Fits(want) == nil {
			t.Errorf("it fits %s", name)
		}
	}
}

func TestAStatementIsActedOnForAWhile(t *testing.T) {
	t.Parallel()
	in := intent()
	held := now.Add(time.Hour)
	in.Decision.Expires = &held
	c := statement.Of("acme", callID, in, now)
	for name, tt := range map[string]struct {
		tenant string
		at     time.Time
		ok     bool
	}{
		"while it is held": {"acme", held, true}, "too late": {"acme", held.Add(statement.Lifetime), false},
		"before it was made": {"acme", now.Add(-time.Hour), false}, "elsewhere": {"other", now, false},
	} {
		if err := c.Current(tt.tenant, tt.at); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAgentOnItsOwnIsTheSubject(t *testing.T) {
	t.Parallel()
	in := intent()
	in.Identity.Principal, in.Identity.Chain = "", []audit.Actor{{ID: "cron"}}
	if c := statement.Of("acme", callID, in, now); c.Subject != "cron" || c.Workload != "cron" || !cmp.Equal(c.Chain(), []string{"cron"}) {
		t.Errorf("it says %+v", c)
	}
}

func FuzzOpen(f *testing.F) {
	k, keys, _ := newKey(f)
	f.Add(sign(f, k, statement.Of("acme", callID, intent(), now)))
	f.Add("..")
	f.Add("a.b.c")
	good := sign(f, k, statement.Of("acme", callID, intent(), now))
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := keys.Open(token); err == nil && token != good {
			t.Errorf("%q passes", token)
		}
	})
}

// BenchmarkSign is what a call pays for its statement.
func BenchmarkSign(b *testing.B) {
	k, _, _ := newKey(b)
	in := intent()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Sign(statement.Of("acme", callID, in, now)); err != nil {
			b.Fatal(err)
		}
	}
}
