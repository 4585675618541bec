package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// Bounds of what annotations may say.
const (
	MaxHold     = 366 * 24 * time.Hour // of @expires
	maxReason   = 500                  // bytes of @reason
	maxPolicyID = 128                  // bytes of @id
)

var policyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:/-]*$`)

// acrValue goes into a header and an address as it is.
var acrValue = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,128}$`)

// annotations are what a policy says of itself.
type annotations struct {
	id        string
	approvers []string
	expires   time.Duration // 0 if not said
	reason    string
	acr       string    // a login that would satisfy it
	counters  []Counter // that it declares
}

// fault is one annotation that does not hold.
type fault struct {
	key, message, hint string
}

func readAnnotations(p *cedar.Policy) (annotations, []*fault) {
	var a annotations
	var wrong []*fault
	for key, value := range p.Annotations() {
		if err := a.set(string(key), string(value)); err != nil {
			wrong = append(wrong, err)
		}
	}
	return a, wrong
}

func (a *annotations) set(key, value string) *fault {
	switch key {
	case "id":
		if len(value) > maxPolicyID || !policyID.MatchString(value) {
			return &fault{key, fmt.Sprintf("@id(%q) is no id", value), fmt.Sprintf("up to %d letters, digits and _ . : / -, a letter or digit first", maxPolicyID)}
		}
		a.id = value
	case "approvers":
		for role := range strings.SplitSeq(value, ",") {
			role = strings.TrimSpace(role)
			if role == "" {
				return &fault{key, fmt.Sprintf("@approvers(%q) has an empty role", value), `write @approvers("lead, security")`}
			}
			a.approvers = append(a.approvers, role)
		}
	case "expires":
		d, err := ParseDuration(value)
		if err != nil {
			return &fault{key, fmt.Sprintf("@expires(%q): %v", value, err), `write @expires("15m"), "8h" or "2d"`}
		}
		a.expires = d
	case "acr":
		if !acrValue.MatchString(value) {
			return &fault{key, fmt.Sprintf("@acr(%q) is no authentication context", value), "one value as in the claim acr of tokens, without spaces"}
		}
		a.acr = value
	case "recent":
		list, err := parseCounters(value)
		if err != nil {
			return &fault{key, "@recent: " + err.Error(), counterHint}
		}
		a.counters = list
	case "reason":
		if strings.TrimSpace(value) == "" || len(value) > maxReason {
			return &fault{key, fmt.Sprintf("@reason must have 1 to %d bytes", maxReason), ""}
		}
		a.reason = value
	default:
		return &fault{key, fmt.Sprintf("unknown annotation @%s", key), "known are @id, @approvers, @expires, @reason, @acr and @recent"}
	}
	return nil
}

// ParseDuration reads the duration of a hold: that of [time.ParseDuration],
// optionally after a number of days ("2d", "1d12h"). It is positive and at most [MaxHold].
func ParseDuration(s string) (time.Duration, error) {
	var total time.Duration
	rest := s
	if days, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errors.New("not a duration")
		}
		total, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" || total == 0 {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || d > MaxHold {
			return 0, errors.New("not a duration")
		}
		total += d
	}
	if total <= 0 || total > MaxHold {
		return 0, fmt.Errorf("must be more than nothing and at most %d days", MaxHold/(24*time.Hour))
	}
	return total, nil
}
