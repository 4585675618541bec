// Package webhook sends notifications over HTTP: as signed events to a receiver of
// one's own ([New], by the Standard Webhooks specification: webhook-id, webhook-timestamp
// and an HMAC-SHA256 over both and the body), or as messages in the form of Slack's
// incoming webhooks ([NewSlack]), which others understand too.
//
// A receiver of events may get one more than once, always with the same webhook-id. The
// type of an event is deed.call.STATE, of several in one deed.digest, of a test deed.test.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/broker/notify"
)

// Timeout is of one request.
const Timeout = 15 * time.Second

const leastKey = 24 // bytes of a key that signs, by the specification

// Text gives a secret, or an address that is one.
type Text func(context.Context) (string, error)

// Channel sends signed events.
type Channel struct {
	url    string
	secret Text
	client *http.Client
}

var _ notify.Channel = (*Channel)(nil)

// New returns a channel to url, which is signed for with secret: whsec_ and base64.
func New(to string, secret Text) (*Channel, error) {
	client, err := client(to)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return &Channel{url: to, secret: secret, client: client}, nil
}

// client reaches the origin of a URL and nothing else, and follows no redirects.
func client(to string) (*http.Client, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("the address is not a URL of https, without a user and a fragment")
	}
	peer, err := reach.New(u.Scheme+"://"+u.Host, nil, Timeout, nil)
	if err != nil {
		return nil, fmt.Errorf("the address is %w", err)
	}
	return peer.Client(), nil
}

// event is what a receiver gets.
type event struct {
	Type string    `json:"type"`
	Time time.Time `json:"timestamp"`
	Data any       `json:"data"`
}

type call struct {
	CallID    string    `json:"call_id"`
	State     string    `json:"state"`
	Tool      string    `json:"tool"`
	Domain    string    `json:"domain"`
	Sentence  string    `json:"sentence"`
	Principal string    `json:"principal,omitempty"`
	Agents    []string  `json:"agents"`
	Approvers []string  `json:"approvers"`
	Late      bool      `json:"late,omitempty"`
	Deadline  time.Time `json:"deadline"`
	Outcome   string    `json:"outcome,omitempty"`
	Link      string    `json:"link"`
}

type digest struct {
	Calls []call `json:"calls"`
	Link  string `json:"link"`
}

func callOf(m notify.Message) call {
	return call{
		CallID: m.CallID, State: string(m.State), Tool: m.Tool, Domain: m.Domain, Sentence: m.Sentence, Principal: m.Principal,
		Agents: append([]string{}, m.Agents...), Approvers: append([]string{}, m.Approvers...), Late: m.Late, Deadline: m.Deadline,
		Outcome: m.Outcome, Link: m.Link,
	}
}

func eventOf(m notify.Message) event {
	switch {
	case len(m.Digest) > 0:
		d := digest{Link: m.Link}
		for _, one := range m.Digest {
			d.Calls = append(d.Calls, callOf(one))
		}
		return event{"deed.digest", m.Time, d}
	case m.State == notify.Test:
		return event{"deed.test", m.Time, map[string]string{"link": m.Link}}
	default:
		return event{"deed.call." + string(m.State), m.Time, callOf(m)}
	}
}

// Send implements [notify.Channel].
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	body, err := json.Marshal(eventOf(m))
	if err != nil {
		return fmt.Errorf("webhook: %w: %w", notify.ErrRefused, err)
	}
	secret, err := c.secret(ctx)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	signer, err := signer(secret)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	now := time.Now()
	signature, err := signer.Sign(m.ID, now, body)
	if err != nil {
		return fmt.Errorf("webhook: sign: %w", err)
	}
	return post(ctx, c.client, c.url, body, http.Header{
		standardwebhooks.HeaderWebhookID:        {m.ID},
		standardwebhooks.HeaderWebhookTimestamp: {strconv.FormatInt(now.Unix(), 10)},
		standardwebhooks.HeaderWebhookSignature: {signature},
	})
}

func signer(secret string) (*standardwebhooks.Webhook, error) {
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil || len(secret) < leastKey {
		return nil, errors.New("the secret is not whsec_ and at least 24 bytes in base64")
	}
	return w, nil
}

// post sends a body, and turns what is answered into what the notifier can act on. No
// error names the address, which may be a secret.
func post(ctx context.Context, client *http.Client, to string, body []byte, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("webhook: the address is not a URL")
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "deed")
	resp, err := client.Do(req)
	if err != nil {
		if named, ok := errors.AsType[*url.Error](err); ok {
			err = named.Err // without the URL
		}
		return fmt.Errorf("webhook: %w", err)
	}
	defer resp.Body.Close()                                       //nolint:errcheck // it was only read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	return verdict(resp)
}

func verdict(resp *http.Response) error {
	err := fmt.Errorf("webhook: the receiver answered %d", resp.StatusCode)
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if after, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && after > 0 {
			return &notify.LaterError{After: time.Duration(after) * time.Second, Err: err}
		}
		return err
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		return err
	default: // a redirect too: who is told is who was configured
		return fmt.Errorf("%w: %w", notify.ErrRefused, err)
	}
}
