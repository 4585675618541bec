package push

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	webpush "github.com/SherClockHolmes/webpush-go"
	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/broker/notify"
)

const (
	timeout    = 10 * time.Second // of one request
	together   = 8                // requests at once
	maxText    = 900              // bytes of a notification's body
	leastTTL   = time.Minute      // a push service may keep a message for so long
	decidedTTL = 30 * time.Minute // of what became of a call
)

// Services are the push services of the browsers of our time; one that begins with a dot
// stands for all below it.
func Services() []string {
	return []string{
		"fcm.googleapis.com", "android.googleapis.com", "updates.push.services.mozilla.com", ".push.services.mozilla.com",
		".push.apple.com", ".notify.windows.com",
	}
}

// Config is what a [Channel] needs.
type Config struct {
	Key        Key
	Path       string   // of the file of subscriptions
	Subscriber string   // who answers for the pushes: an e-mail address, or a URL of https
	Services   []string // that may be gone to; nil: Services()
	// MayDecide reports whether a person may decide on a call.
	MayDecide func(person *agents.Identity, callID string) bool
}

// Channel pushes to the browsers that were subscribed here. It is safe for concurrent use.
type Channel struct {
	cfg  Config
	subs *book

	mu      sync.Mutex
	clients map[string]*http.Client // guarded by mu: by origin
}

var _ notify.Channel = (*Channel)(nil)

// Open reads the subscriptions.
func Open(cfg Config) (*Channel, error) {
	if cfg.Path == "" || cfg.Subscriber == "" || cfg.MayDecide == nil || cfg.Key.private == nil {
		return nil, errors.New("open push: key, path, subscriber and a policy are required")
	}
	if cfg.Services == nil {
		cfg.Services = Services()
	}
	subs, err := openBook(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open push: %w", err)
	}
	return &Channel{cfg: cfg, subs: subs, clients: map[string]*http.Client{}}, nil
}

// PublicKey is what browsers subscribe to.
func (c *Channel) PublicKey() string { return c.cfg.Key.Public() }

// ErrSubscription is a subscription that is not taken; the error says why.
var ErrSubscription = errors.New("the subscription cannot be used")

// Subscribe takes or renews a person's browser.
func (c *Channel) Subscribe(person *agents.Identity, s Subscription) error {
	if !person.Person() {
		return fmt.Errorf("%w: only people subscribe", ErrSubscription)
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrSubscription, err)
	}
	if _, err := c.client(s.Endpoint); err != nil {
		return fmt.Errorf("%w: %w", ErrSubscription, err)
	}
	err := c.subs.add(subscribed{Subscription: s, Person: ownerOf(person), Renewed: time.Now().UTC()})
	if errors.Is(err, errFull) {
		return fmt.Errorf("%w: %w", ErrSubscription, err)
	}
	return err
}

// Unsubscribe forgets a person's browser.
func (c *Channel) Unsubscribe(person *agents.Identity, endpoint string) error {
	return c.subs.remove(person, endpoint)
}

// Subscribed is how many browsers of a person there are.
func (c *Channel) Subscribed(person *agents.Identity) int {
	n := 0
	for _, s := range c.subs.fresh(time.Now()) {
		if s.Person.is(person) {
			n++
		}
	}
	return n
}

// client reaches the push service of an endpoint, if it is one.
func (c *Channel) client(endpoint string) (*http.Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("the endpoint is not a URL")
	}
	if !slices.ContainsFunc(c.cfg.Services, func(s string) bool {
		return strings.EqualFold(u.Host, s) || strings.HasPrefix(s, ".") && strings.HasSuffix(strings.ToLower(u.Host), s)
	}) {
		return nil, errors.New("the endpoint is not at a push service that is known here")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	origin := u.Scheme + "://" + u.Host
	if known := c.clients[origin]; known != nil {
		return known, nil
	}
	peer, err := c.peer(u, origin)
	if err != nil {
		return nil, err
	}
	if len(c.clients) > 100 { // of the hosts below a name
		clear(c.clients)
	}
	c.clients[origin] = peer.Client()
	return peer.Client(), nil
}

// peer goes to a service that the operator has named wherever it is, and to those that
// are known at public addresses only.
func (c *Channel) peer(u *url.URL, origin string) (*reach.Peer, error) {
	if !slices.Contains(Services(), strings.ToLower(u.Host)) && slices.Contains(c.cfg.Services, u.Host) {
		return reach.New(origin, nil, timeout, nil)
	}
	return reach.New("https://push.invalid", []string{u.Host}, timeout, nil) // an allowed host beside one that nobody goes to
}

// payload is what a service worker gets.
type payload struct {
	Version  int       `json:"v"`
	Tag      string    `json:"tag"`
	State    string    `json:"state"`
	Title    string    `json:"title"`
	Body     string    `json:"body"`
	URL      string    `json:"url"`
	Deadline time.Time `json:"deadline,omitzero"`
	Renotify bool      `json:"renotify"`
}

func payloadOf(m notify.Message) payload {
	p := payload{
		Version: 1, Tag: m.Thread, State: string(m.State), Title: m.Title(), Body: short(m.Text()), URL: m.Link, Deadline: m.Deadline,
		Renotify: m.State == notify.Held,
	}
	if len(m.Digest) > 0 {
		p.State, p.Renotify = "digest", true
	}
	return p
}

func short(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// Send implements [notify.Channel]: it pushes to every browser of those who may decide. It
// fails only if there are some and none took the message.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	var mu sync.Mutex
	var gone []string
	var failed []error
	took := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(together)
	for _, s := range c.subs.fresh(time.Now()) {
		mine, some := c.meant(m, &s)
		if !some {
			continue
		}
		g.Go(func() error {
			err := c.push(ctx, s.Subscription, mine)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errGone):
				gone = append(gone, s.Endpoint)
			case err != nil:
				failed = append(failed, err)
			default:
				took++
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(gone) > 0 {
		if err := c.subs.drop(gone); err != nil {
			return err
		}
	}
	if took == 0 && len(failed) > 0 {
		return errors.Join(failed[:min(len(failed), 3)]...)
	}
	return nil
}

// meant is what of a message is for the person of a subscription.
func (c *Channel) meant(m notify.Message, s *subscribed) (notify.Message, bool) {
	if m.State == notify.Test {
		return m, true
	}
	if len(m.Digest) == 0 {
		return m, c.cfg.MayDecide(s.Person.identity(), m.CallID)
	}
	all := m.Digest
	m.Digest = nil
	for _, one := range all {
		if c.cfg.MayDecide(s.Person.identity(), one.CallID) {
			m.Digest = append(m.Digest, one)
		}
	}
	if len(m.Digest) == 1 {
		return m.Digest[0], true
	}
	return m, len(m.Digest) > 0
}

// errGone is a subscription that its push service has forgotten.
var errGone = errors.New("the subscription is gone")

func (c *Channel) push(ctx context.Context, s Subscription, m notify.Message) error {
	body, err := json.Marshal(payloadOf(m))
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	client, err := c.client(s.Endpoint)
	if err != nil {
		return errGone // its service is not allowed any more
	}
	ttl := max(time.Until(m.Deadline), leastTTL)
	if m.State != notify.Held {
		ttl = decidedTTL
	}
	resp, err := webpush.SendNotificationWithContext(ctx, body, &webpush.Subscription{
		Endpoint: s.Endpoint, Keys: webpush.Keys{Auth: s.Keys.Auth, P256dh: s.Keys.P256DH},
	}, &webpush.Options{
		HTTPClient: client, Subscriber: c.cfg.Subscriber, Topic: topic(m.Thread), TTL: int(ttl / time.Second), Urgency: urgency(m.State),
		VAPIDPublicKey: c.cfg.Key.Public(), VAPIDPrivateKey: c.cfg.Key.secret(),
	})
	if err != nil {
		if named, ok := errors.AsType[*url.Error](err); ok {
			err = named.Err // an endpoint is a secret
		}
		return fmt.Errorf("push: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return errGone
	default:
		return fmt.Errorf("push: the service answered %d", resp.StatusCode)
	}
}

// topic has a push service keep only the newest of the messages about a call (RFC 8030
// section 5.4).
func topic(thread string) string {
	sum := sha256.Sum256([]byte(thread))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

func urgency(s notify.State) webpush.Urgency {
	if s == notify.Held {
		return webpush.UrgencyHigh
	}
	return webpush.UrgencyNormal
}
