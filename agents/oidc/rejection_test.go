package oidc_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
)

type claims = agentstest.Claims

// in is a time from now, as a NumericDate.
func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

func TestEveryTokenThatIsNotOneOfOursIsRefusedForItsReason(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, config(idp))
	good := idp.DelegatedClaims("alice", "copilot")
	own := idp.PersonClaims("alice", "deed-cli", "support")
	with := func(more claims) string { return idp.Token(good.With(more)) }
	header := func(more claims) string { return idp.TokenWith(more, good) }
	nested := good
	for range 9 {
		nested = nested.With(claims{"act": claims{"sub": "copilot", "act": nested["act"]}})
	}
	stranger := agentstest.NewKey(t, "ES256")
	stranger.ID = idp.Key().ID
	parts := strings.Split(idp.Token(good), ".")

	rows := []struct {
		name  string
		token string
		want  agents.Kind
	}{
		{"nothing", "", agents.Missing},
		{"a word", "token", agents.Malformed},
		{"three dots", "...", agents.Malformed},
		{"two dots", "..", agents.Malformed},
		{"four parts", idp.Token(good) + ".x", agents.Malformed},
		{"JSON serialization", `{"payload":"e30","signatures":[]}`, agents.Malformed},
		{"a giant", idp.Token(good.With(claims{"pad": strings.Repeat("x", 20<<10)})), agents.Malformed},
		{"a line break inside", parts[0] + "." + parts[1] + ".\n" + parts[2], agents.Malformed},
		{"padding", parts[0] + "." + parts[1] + "." + parts[2] + "==", agents.Malformed},
		{"stray bits", parts[0] + "." + parts[1] + "." + parts[2][:85] + stray(parts[2][85]), agents.Malformed},
		{"header is no object", idp.Key().Sign([]byte(`[]`), encode(t, good)), agents.Malformed},
		{"payload is no object", idp.Key().Sign(encode(t, claims{"alg": "ES256", "typ": "at+jwt"}), []byte(`"x"`)), agents.Malformed},
		{"duplicate claims", duplicated(t, idp, good, `"sub":"mallory",`), agents.Malformed},
		{"duplicate claims inside act", duplicated(t, idp, good.With(claims{"act": nil}), `"act":{"sub":"copilot","sub":"mallory"},`), agents.Malformed},
		{"duplicate header", idp.Key().Sign([]byte(`{"alg":"none","alg":"ES256","typ":"at+jwt"}`), encode(t, good)), agents.Malformed},
		{"crit", header(claims{"crit": []string{"exp"}, "exp": 1}), agents.Malformed},
		{"unencoded payload", header(claims{"b64": false}), agents.Malformed},
		{"iss is a number", with(claims{"iss": 1}), agents.Malformed},
		{"exp missing", with(claims{"exp": nil}), agents.Malformed},
		{"exp is a string", with(claims{"exp": "tomorrow"}), agents.Malformed},
		{"exp beyond time", with(claims{"exp": 1e30}), agents.Malformed},
		{"iat missing", with(claims{"iat": nil}), agents.Malformed},
		{"ends before it begins", with(claims{"iat": in(30 * time.Second), "exp": in(10 * time.Second)}), agents.Malformed},
		{"scope is a list", with(claims{"scope": []string{"a"}}), agents.Malformed},
		{"roles are objects", with(claims{"roles": []any{claims{}}}), agents.Malformed},
		{"a role that hides", with(claims{"roles": []string{"le\u200bad"}}), agents.Malformed},
		{"a claim that folds into iss", with(claims{"ISS": "https://other.example"}), agents.Malformed},

		{"alg none", unsigned(t, good), agents.BadAlgorithm},
		{"HS256 with the public key", confused(t, idp, good), agents.BadAlgorithm},
		{"alg missing", header(claims{"alg": nil}), agents.BadAlgorithm},
		{"alg that nobody knows", header(claims{"alg": "es256"}), agents.BadAlgorithm},
		{"another kind of key", header(claims{"alg": "RS256"}), agents.UnknownKey},

		{"another issuer", with(claims{"iss": "https://other.example"}), agents.UnknownIssuer},
		{"issuer with a slash more", with(claims{"iss": issuerURL + "/"}), agents.UnknownIssuer},
		{"issuer in other case", with(claims{"iss": "https://IDP.example"}), agents.UnknownIssuer},
		{"no issuer", with(claims{"iss": nil}), agents.UnknownIssuer},

		{"unknown kid", header(claims{"kid": "nobody"}), agents.UnknownKey},
		{"somebody else's signature", stranger.Sign(encode(t, claims{"alg": "ES256", "kid": stranger.ID, "typ": "at+jwt"}), encode(t, good)), agents.BadSignature},
		{"somebody else's key in the header", embedded(t, idp, good), agents.BadSignature},
		{"payload swapped", parts[0] + "." + agentstest.Encode(encode(t, own)) + "." + parts[2], agents.BadSignature},
		{"no signature", parts[0] + "." + parts[1] + ".", agents.BadSignature},

		{"wrong audience", with(claims{"aud": "https://other.example/mcp"}), agents.WrongAudience},
		{"audience with a slash more", with(claims{"aud": audience + "/"}), agents.WrongAudience},
		{"audiences without us", with(claims{"aud": []string{"a", "b"}}), agents.WrongAudience},
		{"no audience", with(claims{"aud": nil}), agents.WrongAudience},
		{"audience is a number", with(claims{"aud": 7}), agents.Malformed},

		{"plain JWT", header(claims{"typ": "JWT"}), agents.WrongType},
		{"no typ", header(claims{"typ": nil}), agents.WrongType},
		{"logout token by typ", header(claims{"typ": "logout+jwt"}), agents.WrongType},
		{"ID-JAG", header(claims{"typ": "oauth-id-jag+jwt"}), agents.WrongType},
		{"ID token by nonce", with(claims{"nonce": "n"}), agents.WrongType},
		{"ID token by at_hash", with(claims{"at_hash": "h"}), agents.WrongType},
		{"ID token by its claim typ", with(claims{"typ": "ID"}), agents.WrongType},
		{"DPoP token that is bound to nothing", with(claims{"typ": "DPoP"}), agents.WrongType},
		{"refresh token", with(claims{"typ": "Refresh"}), agents.WrongType},
		{"issued to the resource itself", idp.Token(own.With(claims{"client_id": audience})), agents.WrongType},
		{"logout token by events", with(claims{"events": claims{}}), agents.WrongType},

		{"expired", with(claims{"iat": in(-time.Hour), "exp": in(-time.Second)}), agents.Expired},
		{"nbf ahead", with(claims{"nbf": in(2 * time.Minute)}), agents.NotYetValid},
		{"iat ahead", with(claims{"iat": in(2 * time.Minute)}), agents.NotYetValid},
		{"a lifetime of years", with(claims{"exp": in(3 * 365 * 24 * time.Hour)}), agents.TooLong},

		{"no sub", with(claims{"sub": nil}), agents.NoSubject},
		{"empty sub", with(claims{"sub": ""}), agents.NoSubject},
		{"sub is a number", with(claims{"sub": 7}), agents.Malformed},
		{"sub with a line break", with(claims{"sub": "alice\nbob"}), agents.NoSubject},
		{"sub that reads backwards", with(claims{"sub": "alice\u202ebob"}), agents.NoSubject},
		{"sub with a blank at its end", with(claims{"sub": "alice "}), agents.NoSubject},
		{"endless sub", with(claims{"sub": strings.Repeat("a", 256)}), agents.NoSubject},

		{"cnf", with(claims{"cnf": claims{"jkt": "x"}}), agents.SenderBound},

		{"act is a string", with(claims{"act": "copilot"}), agents.BadChain},
		{"act is null", idp.Token(jsonNull(good, "act")), agents.BadChain},
		{"act is a list", with(claims{"act": []any{claims{"sub": "copilot"}}}), agents.BadChain},
		{"act without sub", with(claims{"act": claims{"client_id": "copilot"}}), agents.BadChain},
		{"act with an empty sub", with(claims{"act": claims{"sub": ""}}), agents.BadChain},
		{"act with two subs in a list", with(claims{"act": claims{"sub": []string{"copilot"}}}), agents.BadChain},
		{"act of another issuer", with(claims{"act": claims{"sub": "copilot", "iss": "https://other.example"}}), agents.BadChain},
		{"act of an unknown shape", with(claims{"act": claims{"sub": "copilot", "on_behalf": claims{"sub": "bob"}}}), agents.BadChain},
		{"act without sub deeper down", with(claims{"act": claims{"sub": "copilot", "act": claims{}}}), agents.BadChain},
		{"act too deep", idp.Token(nested), agents.BadChain},
		{"act at odds with client_id", with(claims{"client_id": "other"}), agents.BadChain},
		{"act at odds with azp", with(claims{"client_id": nil, "azp": "other"}), agents.BadChain},
		{"act's client at odds with client_id", with(claims{"act": claims{"sub": "copilot", "client_id": "other"}}), agents.BadChain},
		{"act under a person's client", with(claims{"client_id": "deed-cli"}), agents.BadChain},
		{"azp at odds with client_id", with(claims{"azp": "other"}), agents.BadChain},
		{"neither actor nor client", idp.Token(own.With(claims{"client_id": nil})), agents.BadChain},
		{"client_id is a list", idp.Token(own.With(claims{"client_id": []string{"deed-cli"}})), agents.BadChain},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := kind(t, v, row.token); got != row.want {
				t.Errorf("refused as %q, want %q", got, row.want)
			}
			_, err := v.Verify(t.Context(), agents.Credential{Token: row.token})
			if err == nil {
				return
			}
			for part := range strings.SplitSeq(row.token, ".") {
				if len(part) > 8 && strings.Contains(err.Error(), part) {
					t.Error("the error quotes the token")
				}
			}
			for _, secret := range []string{"mallory", "other.example", "alice", "nobody"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error says what the token says: %v", err)
				}
			}
		})
	}
}

func TestTheRejectionNamesOnlyConfiguredIssuers(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, config(idp))
	for issuer, want := range map[string]string{issuerURL: issuerURL, "https://other.example": ""} {
		_, err := v.Verify(t.Context(), agents.Credential{Token: idp.Token(idp.PersonClaims("alice", "deed-cli").With(claims{"iss": issuer, "aud": "x"}))})
		rejection, ok := errors.AsType[*agents.Rejection](err)
		if !ok || rejection.Issuer != want {
			t.Errorf("iss %s: rejection %+v, want issuer %q", issuer, rejection, want)
		}
	}
}

func TestKeysInTheHeaderAreIgnored(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, config(idp))
	token := idp.TokenWith(claims{"jku": "https://evil.example/jwks", "x5u": "https://evil.example/crt"}, idp.PersonClaims("alice", "deed-cli"))
	if got := kind(t, v, token); got != "" {
		t.Errorf("refused as %q, want the header's addresses ignored", got)
	}
	if got := idp.KeyFetches(); got != 1 {
		t.Errorf("%d fetches of keys, want 1", got)
	}
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// stray is a base64 character that decodes alike but for bits that are thrown away.
func stray(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)^1])
}

// jsonNull is c with a claim that is null.
func jsonNull(c claims, name string) claims {
	return c.With(claims{name: json.RawMessage("null")})
}

// duplicated signs claims with more members in front of them.
func duplicated(tb testing.TB, idp *agentstest.Issuer, c claims, members string) string {
	tb.Helper()
	payload := append([]byte("{"+members), encode(tb, c)[1:]...)
	return idp.Key().Sign(encode(tb, claims{"alg": "ES256", "kid": idp.Key().ID, "typ": "at+jwt"}), payload)
}

func unsigned(tb testing.TB, c claims) string {
	tb.Helper()
	return agentstest.Encode(encode(tb, claims{"alg": "none", "typ": "at+jwt"})) + "." + agentstest.Encode(encode(tb, c)) + "."
}

// confused is signed by HMAC with what everybody knows: the public key.
func confused(tb testing.TB, idp *agentstest.Issuer, c claims) string {
	tb.Helper()
	public, err := x509.MarshalPKIXPublicKey(idp.Key().Public().Key)
	if err != nil {
		tb.Fatal(err)
	}
	header := claims{"alg": "HS256", "kid": idp.Key().ID, "typ": "at+jwt"}
	input := agentstest.Encode(encode(tb, header)) + "." + agentstest.Encode(encode(tb, c))
	mac := hmac.New(sha256.New, public)
	if _, err := fmt.Fprint(mac, input); err != nil {
		tb.Fatal(err)
	}
	return input + "." + agentstest.Encode(mac.Sum(nil))
}

// embedded brings its own key in the header, under the name of a trusted one.
func embedded(tb testing.TB, idp *agentstest.Issuer, c claims) string {
	tb.Helper()
	mine := agentstest.NewKey(tb, "ES256")
	mine.ID = idp.Key().ID
	return mine.Sign(encode(tb, claims{"alg": "ES256", "kid": mine.ID, "typ": "at+jwt", "jwk": mine.Public()}), encode(tb, c))
}
