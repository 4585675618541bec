package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
)

// Push keeps the browsers of people who want to be told of held calls.
type Push interface {
	// PublicKey is what browsers subscribe to (RFC 8292).
	PublicKey() string
	Subscribed(person *agents.Identity) int
	Subscribe(person *agents.Identity, s PushSubscription) error
	Unsubscribe(person *agents.Identity, endpoint string) error
}

// PushState is whether and how browsers can be told.
type PushState struct {
	PublicKey  string `json:"public_key"` // applicationServerKey of PushManager.subscribe
	Subscribed int    `json:"subscribed"` // how many browsers of the viewer are
}

// PushSubscription is a browser, as PushSubscription.toJSON() says it.
type PushSubscription struct {
	Endpoint   string         `json:"endpoint"`
	Expiration jsontext.Value `json:"expirationTime,omitempty"` // not looked at: a subscription that is not renewed is dropped
	Keys       PushKeys       `json:"keys"`
}

// PushKeys are what a message is encrypted with, in base64url.
type PushKeys struct {
	P256DH string `json:"p256dh"`
	Auth   string `json:"auth"`
}

// PushEndpoint is the body of DELETE /v1/push.
type PushEndpoint struct {
	Endpoint string `json:"endpoint"`
}

// pushing is nil, and an error, where nothing is pushed, or to somebody who is no person.
func (a *api) pushing(v *viewer) (Push, error) {
	if a.cfg.Push == nil {
		return nil, notFound("this broker pushes nothing to browsers; notify.channels in deed.yaml would say so")
	}
	if !v.id.Person() {
		return nil, &broker.Error{Kind: broker.Denied, Op: "push", Public: "only people are told of calls that wait for them"}
	}
	return a.cfg.Push, nil
}

// showPush serves GET /v1/push.
func (a *api) showPush(w http.ResponseWriter, r *http.Request, v *viewer) error {
	if err := parse(r.URL.RawQuery).err; err != nil {
		return err
	}
	p, err := a.pushing(v)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, PushState{PublicKey: p.PublicKey(), Subscribed: p.Subscribed(v.id)})
	return nil
}

// subscribe serves POST /v1/push.
func (a *api) subscribe(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body PushSubscription
	if err := decode(r, &body); err != nil {
		return err
	}
	p, err := a.pushing(v)
	if err != nil {
		return err
	}
	if err := p.Subscribe(v.id, body); err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, PushState{PublicKey: p.PublicKey(), Subscribed: p.Subscribed(v.id)})
	return nil
}

// unsubscribe serves DELETE /v1/push. The endpoint is in the body: it is a secret, and
// addresses are written into logs.
func (a *api) unsubscribe(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body PushEndpoint
	if err := decode(r, &body); err != nil {
		return err
	}
	p, err := a.pushing(v)
	if err != nil {
		return err
	}
	if err := p.Unsubscribe(v.id, body.Endpoint); err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, PushState{PublicKey: p.PublicKey(), Subscribed: p.Subscribed(v.id)})
	return nil
}
