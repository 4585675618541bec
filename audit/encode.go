package audit

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what stands beside an event.
const (
	// MaxPayloads is how many payloads one event can carry.
	MaxPayloads = 16
	// MaxPayloadName bounds a payload's name and its media type, in bytes each.
	MaxPayloadName = 128
)

// Encode returns the bytes of e that a log stores, without its payloads, after it
// has checked both as a log must. What could be read in two ways is an error, as in
// [ParseEvent]. An event of more than [MaxEventBytes] is [ErrTooLarge].
func (e Event) Encode() ([]byte, error) {
	if err := validate(e); err != nil {
		return nil, err
	}
	body, err := marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	if len(body) > MaxEventBytes {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(body), MaxEventBytes)
	}
	return body, nil
}

func validate(e Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if !validName(e.Domain) || !validName(e.Topic) {
		return errors.New("domain and topic are made of ASCII letters, digits, '.', '_', '-' and '='")
	}
	return validatePayloads(e.Payloads)
}

func validatePayloads(payloads []Payload) error {
	if len(payloads) > MaxPayloads {
		return fmt.Errorf("%d payloads, an event can carry %d", len(payloads), MaxPayloads)
	}
	for i, p := range payloads {
		switch {
		case p.Name == "" || len(p.Name) > MaxPayloadName || len(p.MediaType) > MaxPayloadName,
			!utf8.ValidString(p.Name), !utf8.ValidString(p.MediaType):
			return fmt.Errorf("payload %d needs a name, and a media type, of at most %d bytes of UTF-8", i, MaxPayloadName)
		case len(p.Salt) != SaltBytes:
			return fmt.Errorf("payload %q has a salt of %d bytes, not %d", p.Name, len(p.Salt), SaltBytes)
		}
		for _, other := range payloads[:i] {
			if other.Name == p.Name {
				return fmt.Errorf("two payloads are called %q", p.Name)
			}
		}
	}
	return nil
}

// validName keeps log names apart from each other and from positions and notes
// that contain them.
func validName(s string) bool {
	const others = "._-="
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 255
}
