package keycloak

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Browser is a person before Keycloak's pages. It keeps cookies, also Secure ones over
// plain http, as browsers do on loopback, and follows redirects until they leave
// Keycloak.
type Browser struct {
	User, Password string

	cookies map[string]string
}

var (
	formAction = regexp.MustCompile(`<form[^>]*\saction="([^"]+)"`)
	formInput  = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
	attribute  = regexp.MustCompile(`\s(name|value)="([^"]*)"`)
)

// maxSteps bounds pages and redirects.
const maxSteps = 12

// Visit opens an address of Keycloak, logs in when asked, agrees to what is asked then,
// and returns where Keycloak sends the browser at last: to another site, with what it
// says to it. It is empty if the pages end at Keycloak, as the device login does.
func (b *Browser) Visit(ctx context.Context, address string) (string, error) {
	at, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	home := at.Host
	form := url.Values(nil)
	for range maxSteps {
		page, next, err := b.load(ctx, at, form)
		if err != nil {
			return "", fmt.Errorf("visit %s: %w", at.Redacted(), err)
		}
		if next != nil {
			if next.Host != home {
				return next.String(), nil
			}
			at, form = next, nil
			continue
		}
		action := formAction.FindStringSubmatch(page)
		if action == nil {
			return "", nil
		}
		if at, err = at.Parse(html.UnescapeString(action[1])); err != nil {
			return "", err
		}
		form = b.fill(page)
	}
	return "", errors.New("the pages do not end")
}

// fill is the form of a page as the person sends it.
func (b *Browser) fill(page string) url.Values {
	form := url.Values{}
	for _, input := range formInput.FindAllString(page, -1) {
		found := map[string]string{}
		for _, a := range attribute.FindAllStringSubmatch(input, -1) {
			found[a[1]] = html.UnescapeString(a[2])
		}
		form.Set(found["name"], found["value"])
	}
	if strings.Contains(page, `name="password"`) {
		form.Set("username", b.User)
		form.Set("password", b.Password)
	} else {
		form.Set("accept", "Yes")
	}
	return form
}

// load gets a page, or where it redirects to.
func (b *Browser) load(ctx context.Context, at *url.URL, form url.Values) (page string, next *url.URL, err error) {
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, at.String(), strings.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value}) //nolint:gosec // a request's
	}
	c := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := c.Do(r)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if b.cookies == nil {
		b.cookies = map[string]string{}
	}
	for _, cookie := range response.Cookies() {
		b.cookies[cookie.Name] = cookie.Value
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return "", nil, err
	}
	if response.StatusCode/100 == 3 {
		next, err = response.Location()
		return "", next, err
	}
	if response.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("Keycloak answered %d", response.StatusCode) //nolint:staticcheck // a name
	}
	return string(text), nil, nil
}
