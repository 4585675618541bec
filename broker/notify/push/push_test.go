package push_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/notify/push"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a push service, and the browsers behind it.
type service struct {
	*httptest.Server

	mu     sync.Mutex
	got    map[string][]pushed // guarded by mu: by path
	answer map[string]int      // guarded by mu
}

type pushed struct {
	head http.Header
	body []byte
}

func serve(t *testing.T) *service {
	t.Helper()
	s := &service{got: map[string][]pushed{}, answer: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got[r.URL.Path] = append(s.got[r.URL.Path], pushed{r.Header, body})
		if status := s.answer[r.URL.Path]; status != 0 {
			w.WriteHeader(status)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) to(path string) []pushed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[path]
}

// browser is one that has subscribed.
type browser struct {
	key  *ecdh.PrivateKey
	auth []byte
	sub  push.Subscription
}

func (s *service) browser(t *testing.T, path string) *browser {
	t.Helper()
	b := &browser{auth: make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	var err error
	b.key, err = ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	b.sub = push.Subscription{Endpoint: s.URL + path, Keys: push.Keys{
		P256DH: base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes()), Auth: base64.RawURLEncoding.EncodeToString(b.auth),
	}}
	return b
}

// open decrypts a message as RFC 8291 and RFC 8188 say.
func (b *browser) open(t *testing.T, body []byte) map[string]any {
	t.Helper()
	salt, size := body[:16], int(body[20])
	sender, err := ecdh.P256().NewPublicKey(body[21 : 21+size])
	must(t, err)
	shared, err := b.key.ECDH(sender)
	must(t, err)
	info := "WebPush: info\x00" + string(b.key.PublicKey().Bytes()) + string(sender.Bytes())
	ikm, err := hkdf.Key(sha256.New, shared, b.auth, info, 32)
	must(t, err)
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	must(t, err)
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	must(t, err)
	block, err := aes.NewCipher(key)
	must(t, err)
	gcm, err := cipher.NewGCM(block)
	must(t, err)
	plain, err := gcm.Open(nil, nonce, body[21+size:], nil)
	must(t, err)
	return payload(t, []byte(strings.TrimRight(string(plain), "\x00")), "\x02")
}

func payload(t *testing.T, plain []byte, end string) map[string]any {
	t.Helper()
	var v map[string]any
	must(t, json.Unmarshal([]byte(strings.TrimSuffix(string(plain), end)), &v))
	return v
}

func person(name string, roles ...string) *agents.Identity {
	return &agents.Identity{Issuer: "https://idp.example", Principal: name, Roles: roles, Expires: time.Now().Add(time.Hour)}
}

func channel(t *testing.T, s *service, path string) *push.Channel {
	t.Helper()
	key, err := push.LoadOrCreateKey(filepath.Join(filepath.Dir(path), "keys", "push.key"))
	must(t, err)
	c, err := push.Open(push.Config{
		Key: key, Path: path, Subscriber: "ops@acme.example", Services: []string{strings.TrimPrefix(s.URL, "http://")},
		MayDecide: func(who *agents.Identity, call string) bool {
			return len(who.Roles) > 0 && who.Roles[0] == "lead" && call != "not-for-leads"
		},
	})
	must(t, err)
	return c
}

func held(call string) notify.Message {
	return notify.Message{
		ID: call + ".push.held", Thread: call, State: notify.Held, Time: time.Now().UTC(), CallID: call, Tool: "payments.refund",
		Sentence: "Refund 250 € of pay-1", Principal: "alice", Agents: []string{"copilot"}, Approvers: []string{"lead"},
		Deadline: time.Now().Add(15 * time.Minute).UTC().Truncate(time.Second), Link: "https://deed.example/#/calls/" + call,
	}
}

func TestAPushReachesTheBrowserAlone(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c, b := channel(t, s, filepath.Join(t.TempDir(), "push.json")), s.browser(t, "/bob")
	must(t, c.Subscribe(person("bob", "lead"), b.sub))
	must(t, c.Subscribe(person("erin"), s.browser(t, "/erin").sub))
	m := held("0191")
	must(t, c.Send(t.Context(), m))
	must(t, c.Send(t.Context(), held("not-for-leads")))
	if n := len(s.to("/erin")); n != 0 {
		t.Errorf("erin, who may not decide, got %d messages", n)
	}
	got := s.to("/bob")
	if len(got) != 1 {
		t.Fatalf("bob got %d messages", len(got))
	}
	want := map[string]any{
		"v": 1.0, "tag": "0191", "state": "held", "title": "Approval needed: payments.refund", "url": "https://deed.example/#/calls/0191",
		"body":     "Refund 250 € of pay-1\nAsked by copilot for alice. Waits for lead until " + m.Deadline.Format("2006-01-02 15:04 UTC") + ".",
		"deadline": m.Deadline.Format(time.RFC3339), "renotify": true,
	}
	if diff := cmp.Diff(want, b.open(t, got[0].body)); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if h := got[0].head; h.Get("Content-Encoding") != "aes128gcm" || h.Get("Urgency") != "high" || len(h.Get("Topic")) != 32 || h.Get("Ttl") < "800" || h.Get("Ttl") > "900" {
		t.Errorf("head %v", h)
	}
	vapid(t, c, s, got[0].head.Get("Authorization"))

	decided := held("0191")
	decided.State, decided.First, decided.Outcome = notify.Approved, decided.ID, "Approved by dora"
	must(t, c.Send(t.Context(), decided))
	again := s.to("/bob")[1]
	if p := b.open(t, again.body); p["tag"] != "0191" || p["state"] != "approved" || p["renotify"] != false || p["title"] != "Approved by dora: payments.refund" {
		t.Errorf("what follows is %v", p)
	}
	if again.head.Get("Topic") != got[0].head.Get("Topic") {
		t.Error("what follows has another topic")
	}
}

// vapid checks who signs, by another library.
func vapid(t *testing.T, c *push.Channel, s *service, authorization string) {
	t.Helper()
	var token, key string
	if _, err := fmt.Sscanf(strings.ReplaceAll(authorization, ",", ""), "vapid t=%s k=%s", &token, &key); err != nil || key != c.PublicKey() {
		t.Fatalf("authorization %q: %v", authorization, err)
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	must(t, err)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	must(t, err)
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	must(t, err)
	var claims jwt.Claims
	must(t, parsed.Claims(public, &claims))
	must(t, claims.Validate(jwt.Expected{AnyAudience: []string{s.URL}, Time: time.Now()}))
	if claims.Subject != "mailto:ops@acme.example" || claims.Expiry.Time().After(time.Now().Add(24*time.Hour)) {
		t.Errorf("claims %+v", claims)
	}
}

// decrypter is another implementation, in Python.
const decrypter = `
import base64, json, sys
import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
given = json.load(sys.stdin)
decoded = {name: base64.b64decode(given[name]) for name in ("body", "auth")}
key = ec.derive_private_key(int(given["key"], 16), ec.SECP256R1())
sys.stdout.buffer.write(http_ece.decrypt(decoded["body"], private_key=key, auth_secret=decoded["auth"], version="aes128gcm"))
`

func TestAnotherImplementationDecryptsThePush(t *testing.T) {
	t.Parallel()
	python := need.Env(t, need.ReceiversPython)
	s := serve(t)
	c, b := channel(t, s, filepath.Join(t.TempDir(), "push.json")), s.browser(t, "/bob")
	must(t, c.Subscribe(person("bob", "lead"), b.sub))
	must(t, c.Send(t.Context(), held("0191")))
	given, err := json.Marshal(map[string]string{
		"body": base64.StdEncoding.EncodeToString(s.to("/bob")[0].body), "auth": base64.StdEncoding.EncodeToString(b.auth), "key": fmt.Sprintf("%x", b.key.Bytes()),
	})
	must(t, err)
	cmd := exec.CommandContext(t.Context(), python, "-c", decrypter)
	cmd.Stdin = strings.NewReader(string(given))
	plain, err := cmd.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Logf("%s", failed.Stderr)
		}
		t.Fatal(err)
	}
	if got := payload(t, plain, ""); got["tag"] != "0191" || got["title"] != "Approval needed: payments.refund" {
		t.Errorf("it reads %v", got)
	}
}

func TestADigestHasWhatIsForEach(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c, b := channel(t, s, filepath.Join(t.TempDir(), "push.json")), s.browser(t, "/bob")
	must(t, c.Subscribe(person("bob", "lead"), b.sub))
	must(t, c.Send(t.Context(), notify.Message{ID: "d", Thread: "d", Link: "https://deed.example/#/inbox", Digest: []notify.Message{held("1"), held("not-for-leads"), held("2")}}))
	if p := b.open(t, s.to("/bob")[0].body); p["state"] != "digest" || p["title"] != "2 calls wait for approval" {
		t.Errorf("it says %v", p)
	}
	must(t, c.Send(t.Context(), notify.Message{ID: "e", Thread: "e", Digest: []notify.Message{held("not-for-leads"), held("3")}}))
	if p := b.open(t, s.to("/bob")[1].body); p["tag"] != "3" {
		t.Errorf("of one it says %v", p)
	}
}

func TestSubscriptionsAreForgottenWhenTheyAreGone(t *testing.T) {
	t.Parallel()
	s := serve(t)
	path := filepath.Join(t.TempDir(), "push.json")
	c := channel(t, s, path)
	bob := person("bob", "lead")
	must(t, c.Subscribe(bob, s.browser(t, "/gone").sub))
	must(t, c.Subscribe(bob, s.browser(t, "/down").sub))
	s.answer = map[string]int{"/gone": http.StatusGone, "/down": http.StatusBadGateway}
	if err := c.Send(t.Context(), held("1")); err == nil || strings.Contains(err.Error(), s.URL) {
		t.Errorf("no browser took it: %v", err)
	}
	if n := c.Subscribed(bob); n != 1 {
		t.Errorf("%d browsers are left, want 1", n)
	}
	must(t, c.Subscribe(bob, s.browser(t, "/up").sub))
	must(t, c.Send(t.Context(), held("2"))) // one took it
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %o", info.Mode().Perm())
	}
	again := channel(t, s, path)
	if n := again.Subscribed(bob); n != 2 || again.PublicKey() != c.PublicKey() {
		t.Errorf("opened again, there are %d browsers", n)
	}
	must(t, again.Unsubscribe(person("mallory"), s.URL+"/up"))
	must(t, again.Unsubscribe(bob, s.URL+"/up"))
	if n := again.Subscribed(bob); n != 1 {
		t.Errorf("%d browsers are left after one was taken back, want 1", n)
	}
	for n := range 2 * push.MaxPerPerson {
		must(t, again.Subscribe(bob, s.browser(t, fmt.Sprintf("/many/%d", n)).sub))
	}
	if n := again.Subscribed(bob); n != push.MaxPerPerson {
		t.Errorf("one person has %d browsers", n)
	}
}

func TestSubscriptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := channel(t, s, filepath.Join(t.TempDir(), "push.json"))
	good := s.browser(t, "/x").sub
	with := func(change func(*push.Subscription)) push.Subscription {
		sub := good
		change(&sub)
		return sub
	}
	for name, sub := range map[string]push.Subscription{
		"the metadata service": with(func(s *push.Subscription) { s.Endpoint = "http://169.254.169.254/latest" }),
		"elsewhere":            with(func(s *push.Subscription) { s.Endpoint = "https://push.evil.example/x" }),
		"a disguise":           with(func(s *push.Subscription) { s.Endpoint = "https://fcm.googleapis.com@evil.example/x" }),
		"another port":         with(func(s *push.Subscription) { s.Endpoint = "https://fcm.googleapis.com:22/x" }),
		"no URL":               with(func(s *push.Subscription) { s.Endpoint = "bob" }),
		"too long":             with(func(s *push.Subscription) { s.Endpoint += strings.Repeat("x", 1000) }),
		"no point":             with(func(s *push.Subscription) { s.Keys.P256DH = good.Keys.Auth }),
		"a short secret":       with(func(s *push.Subscription) { s.Keys.Auth = "AAAA" }),
	} {
		if err := c.Subscribe(person("bob", "lead"), sub); !errors.Is(err, push.ErrSubscription) {
			t.Errorf("%s: %v", name, err)
		}
	}
	agent := person("bob", "lead")
	agent.Chain = []agents.Actor{{ID: "copilot"}}
	if err := c.Subscribe(agent, good); !errors.Is(err, push.ErrSubscription) {
		t.Errorf("an agent: %v", err)
	}
}

// A known service is gone to at a public address only, whatever its name resolves to.
func TestAKnownServiceMustBePublic(t *testing.T) {
	t.Parallel()
	key, err := push.LoadOrCreateKey(filepath.Join(t.TempDir(), "push.key"))
	must(t, err)
	c, err := push.Open(push.Config{
		Key: key, Path: filepath.Join(t.TempDir(), "push.json"), Subscriber: "ops@acme.example", Services: []string{".localhost"},
		MayDecide: func(*agents.Identity, string) bool { return true },
	})
	must(t, err)
	b := serve(t).browser(t, "/x")
	b.sub.Endpoint = "https://inside.localhost/x"
	must(t, c.Subscribe(person("bob"), b.sub))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Send(ctx, held("1")); err == nil {
		t.Error("it went inside")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
