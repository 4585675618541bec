package pulsar

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/deedbroker/deed/audit"
)

// A message of the topic payloads has all payloads of one event, each as a head and
// what is encrypted, both with their lengths before them.

// sealedPayload is an encrypted payload.
type sealedPayload struct {
	head   payloadHead
	hidden []byte // nonce, then salt and body, encrypted
}

// payloadHead is what everybody may know of a payload.
type payloadHead struct {
	Name      string `json:"name"`
	MediaType string `json:"mediatype"`
	Tree      string `json:"tree"` // of keys
	Leaf      string `json:"leaf"` // in it
}

// bound is what a payload cannot be moved away from: its event and its head.
func (h payloadHead) bound(event string) ([]byte, error) {
	head, err := json.Marshal(h)
	return append([]byte(event+"\n"), head...), err
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sealPayload(event string, p audit.Payload, h payloadHead, key []byte) (sealedPayload, error) {
	gcm, err := newGCM(key)
	if err != nil {
		return sealedPayload{}, err
	}
	bound, err := h.bound(event)
	if err != nil {
		return sealedPayload{}, err
	}
	nonce := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(p.Salt)+len(p.Body)+gcm.Overhead())
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	plain := append(append(make([]byte, 0, len(p.Salt)+len(p.Body)), p.Salt...), p.Body...)
	return sealedPayload{head: h, hidden: gcm.Seal(nonce, nonce, plain, bound)}, nil
}

func (s sealedPayload) open(event string, key []byte) (audit.Payload, error) {
	gcm, err := newGCM(key)
	if err != nil {
		return audit.Payload{}, err
	}
	bound, err := s.head.bound(event)
	if err != nil {
		return audit.Payload{}, err
	}
	if len(s.hidden) < gcm.NonceSize() {
		return audit.Payload{}, errMalformed
	}
	plain, err := gcm.Open(nil, s.hidden[:gcm.NonceSize()], s.hidden[gcm.NonceSize():], bound)
	if err != nil || len(plain) < audit.SaltBytes {
		return audit.Payload{}, fmt.Errorf("%w: payload %q of event %s does not decrypt", audit.ErrCorrupt, s.head.Name, event)
	}
	return audit.Payload{Name: s.head.Name, MediaType: s.head.MediaType, Salt: plain[:audit.SaltBytes], Body: plain[audit.SaltBytes:]}, nil
}

var errMalformed = fmt.Errorf("%w: a message of payloads is malformed", audit.ErrCorrupt)

func encodePayloads(all []sealedPayload) ([]byte, error) {
	var b []byte
	for _, s := range all {
		head, err := json.Marshal(s.head)
		if err != nil {
			return nil, fmt.Errorf("encode payload: %w", err)
		}
		for _, part := range [][]byte{head, s.hidden} {
			b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
		}
	}
	return b, nil
}

func decodePayloads(b []byte) (all []sealedPayload, err error) {
	part := func() []byte {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) { //nolint:gosec // not negative
			err = errMalformed
			return nil
		}
		p := b[used : used+int(n)] //nolint:gosec // not longer than b
		b = b[used+int(n):]        //nolint:gosec // not longer than b
		return p
	}
	for len(b) > 0 && err == nil {
		var s sealedPayload
		head := part()
		s.hidden = part()
		if err == nil && json.Unmarshal(head, &s.head) != nil {
			err = errMalformed
		}
		all = append(all, s)
	}
	if err != nil {
		return nil, err
	}
	if len(all) > audit.MaxPayloads {
		return nil, errors.Join(errMalformed, fmt.Errorf("it has %d payloads", len(all)))
	}
	return all, nil
}
