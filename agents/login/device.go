package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// DeviceCode is what a person signs in with on another machine (RFC 8628 section 3.2).
type DeviceCode struct {
	UserCode string // to be typed in there
	Address  string // where
	Complete string // an address that has the code in it; may be empty
	Expires  time.Time

	secret   Secret
	verifier string // of PKCE, which some providers ask for here too
	interval time.Duration
}

// String is what the person may see of it, and nothing else.
func (c DeviceCode) String() string { return c.UserCode + " at " + c.Address }

// GoString is String, for %#v.
func (c DeviceCode) GoString() string { return c.String() }

// DeviceRequest is a sign-in of a person whose browser is elsewhere.
type DeviceRequest struct {
	Target
	// Show tells the person what to do. An error ends the sign-in.
	Show func(ctx context.Context, code DeviceCode) error
}

// Bounds on how often a provider is asked whether the person has signed in.
const (
	deviceInterval    = 5 * time.Second // RFC 8628 section 3.2
	maxDeviceInterval = time.Minute
)

var errNobody = errors.New("nobody signed in with the code in time")

// DeviceFlow signs a person in on whatever machine they like (RFC 8628), and waits for
// it until ctx is done or the code has expired.
func (c *Client) DeviceFlow(ctx context.Context, request DeviceRequest) (*Token, error) {
	t, err := c.deviceFlow(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	return t, nil
}

func (c *Client) deviceFlow(ctx context.Context, request DeviceRequest) (*Token, error) {
	if c.Provider.DeviceEndpoint == "" {
		return nil, errors.New("the issuer has no device login; sign in with a browser on this machine")
	}
	code, err := c.deviceCode(ctx, request.Target)
	if err != nil {
		return nil, err
	}
	if err := request.Show(ctx, *code); err != nil {
		return nil, fmt.Errorf("show code: %w", err)
	}
	ctx, cancel := context.WithDeadline(ctx, code.Expires)
	defer cancel()
	for interval := code.interval; ; {
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return nil, errNobody
		}
		form := request.form(deviceGrant)
		form.Del("scope")
		form.Set("device_code", string(code.secret))
		form.Set("code_verifier", code.verifier)
		t, err := c.post(ctx, form)
		refused, ok := errors.AsType[*GrantError](err)
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() != nil:
			return nil, errNobody
		case !ok:
			return nil, err
		case refused.Code == "slow_down":
			interval = min(interval+deviceInterval, maxDeviceInterval)
		case refused.Code != "authorization_pending":
			return nil, err
		}
	}
}

func (c *Client) deviceCode(ctx context.Context, target Target) (*DeviceCode, error) {
	form := target.form("")
	form.Del("grant_type")
	form.Set("client_id", c.ID)
	header, err := c.authenticate(form)
	if err != nil {
		return nil, err
	}
	verifier := oauth2.GenerateVerifier()
	form.Set("code_challenge", oauth2.S256ChallengeFromVerifier(verifier))
	form.Set("code_challenge_method", "S256")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Provider.DeviceEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	sent := time.Now()
	status, body, err := do(c.HTTP, request)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, refusal(status, body)
	}
	code, err := parseDeviceCode(body, sent)
	if err == nil {
		code.verifier = verifier
	}
	return code, err
}

func parseDeviceCode(body []byte, now time.Time) (*DeviceCode, error) {
	var answer struct {
		Secret   Secret  `json:"device_code"`
		User     string  `json:"user_code"`
		Address  string  `json:"verification_uri"`
		Complete string  `json:"verification_uri_complete"`
		Expires  float64 `json:"expires_in"`
		Interval float64 `json:"interval"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("the answer is not one to a device authorization request") // the cause would quote it
	}
	const longest = 24 * 60 * 60
	switch {
	case answer.Secret == "" || answer.User == "" || answer.Expires <= 0 || answer.Expires > longest:
		return nil, errors.New("the answer to the device authorization request is not complete")
	case checkURL(answer.Address) != nil:
		return nil, errors.New("the address to sign in at is neither https nor on this machine")
	case answer.Complete != "" && checkURL(answer.Complete) != nil:
		answer.Complete = ""
	}
	code := &DeviceCode{
		UserCode: printable(answer.User), Address: printable(answer.Address), Complete: printable(answer.Complete), secret: answer.Secret,
		Expires: now.Add(time.Duration(answer.Expires * float64(time.Second))), interval: deviceInterval,
	}
	if answer.Interval > 0 {
		code.interval = min(time.Duration(answer.Interval*float64(time.Second)), maxDeviceInterval)
	}
	return code, nil
}
