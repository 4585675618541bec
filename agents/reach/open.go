package reach

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// NewOpen reaches the origins of home, which the operator has configured, wherever these are;
// and whatever else it is sent to over https and at public addresses only. If all of home is on
// this machine, so may the rest be, over http too: a server there could reach it by itself.
//
// Redirects are not followed, answers are bounded in size and time.
func NewOpen(home []string, timeout time.Duration) (*http.Client, error) {
	o := open{local: true}
	var own []string
	for _, raw := range home {
		if err := CheckURL(raw); err != nil {
			return nil, err
		}
		u, err := url.Parse(raw)
		if err != nil {
			return nil, err
		}
		o.home = append(o.home, place{strings.ToLower(u.Scheme), origin(u)})
		own = append(own, origin(u))
		o.local = o.local && isLoopback(u.Hostname())
	}
	d := &dialer{own: own, local: o.local, timeout: timeout}
	return client(bounded{o.check, d.transport()}, timeout), nil
}

// open is the check of those who may be sent anywhere that is public.
type open struct {
	home  []place
	local bool
}

type place struct{ scheme, origin string }

func (o open) check(u *url.URL) error {
	switch {
	case slices.Contains(o.home, place{strings.ToLower(u.Scheme), origin(u)}):
		return nil
	case u.User != nil:
		return ErrElsewhere
	case strings.EqualFold(u.Scheme, "https"), o.local && strings.EqualFold(u.Scheme, "http") && isLoopback(u.Hostname()):
		return nil
	default:
		return ErrElsewhere
	}
}
