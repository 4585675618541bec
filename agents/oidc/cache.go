package oidc

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
)

type tokenDigest [sha256.Size]byte

// cache keeps what was found of tokens by digest, the least recently used going first.
// Accepted and refused ones are in caches apart, so that strangers can push out none
// of those that are good.
type cache struct {
	size int

	mu      sync.Mutex // guards what follows
	entries map[tokenDigest]*list.Element
	order   *list.List // of *entry, the last used in front
}

// entry is what is known of one token. It is not changed once it is in a cache.
type entry struct {
	digest   tokenDigest
	issuer   *issuer
	identity *agents.Identity
	audience []string
	key      string // thumbprint of the key that the token is bound to; empty if to none
	until    time.Time
	signer   *key // nil for an opaque token

	asked time.Time // when the issuer last said that it is in force; zero if it is not asked
	token string    // kept only if the issuer may be asked again: see [Verifier.InForce]

	refused *agents.Rejection // set instead of all that, in the cache of refused tokens
}

// holds tells whether what is known still holds.
func (e *entry) holds(now time.Time) bool {
	return now.Before(e.until) && (e.signer == nil || e.issuer.keys.trusts(e.signer, now))
}

func newCache(size int) *cache {
	return &cache{size: size, entries: make(map[tokenDigest]*list.Element), order: list.New()}
}

// get is what is known of a token and still holds, else nil.
func (c *cache) get(digest tokenDigest, now time.Time) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[digest]
	if !ok {
		return nil
	}
	e, ok := element.Value.(*entry)
	if !ok || !e.holds(now) {
		c.remove(element, digest)
		return nil
	}
	c.order.MoveToFront(element)
	return e
}

func (c *cache) put(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[e.digest]; ok {
		c.remove(element, e.digest)
	}
	c.entries[e.digest] = c.order.PushFront(e)
	for c.order.Len() > c.size {
		last := c.order.Back()
		if oldest, ok := last.Value.(*entry); ok {
			c.remove(last, oldest.digest)
		}
	}
}

func (c *cache) remove(element *list.Element, digest tokenDigest) {
	c.order.Remove(element)
	delete(c.entries, digest)
}
