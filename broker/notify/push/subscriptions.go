package push

import (
	"cmp"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
)

// Bounds of subscriptions.
const (
	MaxSubscriptions = 5000
	MaxPerPerson     = 10 // the one that was renewed first makes room
	KeepFor          = 30 * 24 * time.Hour

	maxEndpoint = 1000 // bytes
	authBytes   = 16
)

// Subscription is a browser, as PushSubscription.toJSON() says it (W3C Push API).
type Subscription struct {
	Endpoint string `json:"endpoint"`
	Keys     Keys   `json:"keys"`
}

// Keys are what a message is encrypted with, in base64url.
type Keys struct {
	P256DH string `json:"p256dh"`
	Auth   string `json:"auth"`
}

// check says what is wrong with a subscription.
func (s Subscription) check() error {
	point, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s.Keys.P256DH, "="))
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(point)
	}
	secret, bad := base64.RawURLEncoding.DecodeString(strings.TrimRight(s.Keys.Auth, "="))
	switch {
	case len(s.Endpoint) > maxEndpoint:
		return errors.New("the endpoint is too long")
	case err != nil:
		return errors.New("keys.p256dh is not a point of P-256 in base64url")
	case bad != nil || len(secret) != authBytes:
		return errors.New("keys.auth is not 16 bytes in base64url")
	}
	return nil
}

// subscribed is a subscription and whose it is.
type subscribed struct {
	Subscription
	Person  owner     `json:"person"`
	Renewed time.Time `json:"renewed"`
}

// owner is a person as they were when they subscribed: what policies ask.
type owner struct {
	Issuer    string    `json:"issuer"`
	Principal string    `json:"principal"`
	Roles     []string  `json:"roles"`
	Scopes    []string  `json:"scopes"`
	ACR       string    `json:"acr"`
	Session   string    `json:"sid"`
	TokenID   string    `json:"jti"`
	KeyID     string    `json:"kid"`
	Issued    time.Time `json:"issued"`
	Expires   time.Time `json:"expires"`
}

func ownerOf(id *agents.Identity) owner {
	return owner{id.Issuer, id.Principal, id.Roles, id.Scopes, id.ACR, id.Session, id.TokenID, id.KeyID, id.IssuedAt, id.Expires}
}

func (o *owner) identity() *agents.Identity {
	return &agents.Identity{
		Issuer: o.Issuer, Principal: o.Principal, Roles: o.Roles, Scopes: o.Scopes, ACR: o.ACR, Session: o.Session, TokenID: o.TokenID,
		KeyID: o.KeyID, IssuedAt: o.Issued, Expires: o.Expires,
	}
}

func (o *owner) is(id *agents.Identity) bool {
	return o.Issuer == id.Issuer && o.Principal == id.Principal
}

// book is the subscriptions of a replica, in a file that is written whenever one changes.
type book struct {
	path string

	mu  sync.Mutex
	all []subscribed // guarded by mu
}

func openBook(path string) (*book, error) {
	b := &book{path: path}
	text, err := os.ReadFile(path) //nolint:gosec // in the data directory
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &b.all)
	}
	if err != nil {
		return nil, fmt.Errorf("read push subscriptions: %w", err)
	}
	return b, nil
}

// change replaces the subscriptions by what f makes of them.
func (b *book) change(f func([]subscribed) []subscribed) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := f(slices.Clone(b.all))
	text, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(b.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(b.path+".new", b.path)
	}
	if err != nil {
		return fmt.Errorf("write push subscriptions: %w", err)
	}
	b.all = all
	return nil
}

var errFull = errors.New("too many browsers are subscribed")

func (b *book) add(s subscribed) error {
	full := false
	err := b.change(func(all []subscribed) []subscribed {
		all = without(all, s.Endpoint)
		all = slices.DeleteFunc(all, func(o subscribed) bool { return s.Renewed.Sub(o.Renewed) > KeepFor })
		var own []subscribed
		for _, o := range all {
			if o.Person.Issuer == s.Person.Issuer && o.Person.Principal == s.Person.Principal {
				own = append(own, o)
			}
		}
		if len(own) >= MaxPerPerson {
			all = without(all, slices.MinFunc(own, func(a, b subscribed) int { return a.Renewed.Compare(b.Renewed) }).Endpoint)
		}
		if full = len(all) >= MaxSubscriptions; full {
			return all
		}
		return append(all, s)
	})
	if full {
		err = cmp.Or(err, errFull)
	}
	return err
}

func without(all []subscribed, endpoint string) []subscribed {
	return slices.DeleteFunc(all, func(o subscribed) bool { return o.Endpoint == endpoint })
}

// remove drops a subscription, if it is the person's.
func (b *book) remove(person *agents.Identity, endpoint string) error {
	return b.change(func(all []subscribed) []subscribed {
		return slices.DeleteFunc(all, func(o subscribed) bool {
			return o.Endpoint == endpoint && o.Person.is(person)
		})
	})
}

func (b *book) drop(endpoints []string) error {
	return b.change(func(all []subscribed) []subscribed {
		return slices.DeleteFunc(all, func(o subscribed) bool { return slices.Contains(endpoints, o.Endpoint) })
	})
}

// fresh are the subscriptions that have been renewed lately.
func (b *book) fresh(now time.Time) []subscribed {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.all), func(s subscribed) bool { return now.Sub(s.Renewed) > KeepFor })
}
