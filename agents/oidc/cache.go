package oidc

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
)

type tokenDigest [sha256.Size]byte

// cache keeps the identities of verified tokens by digest, the least recently used
// going first. It never holds a token, nor a refused one.
type cache struct {
	size int

	mu      sync.Mutex // guards what follows
	entries map[tokenDigest]*list.Element
	order   *list.List // of *entry, the last used in front
}

type entry struct {
	digest   tokenDigest
	identity *agents.Identity
	until    time.Time
	signer   *key
	keys     *keySource
}

func newCache(size int) *cache {
	return &cache{size: size, entries: make(map[tokenDigest]*list.Element), order: list.New()}
}

// get is the identity of a token that still holds, else nil.
func (c *cache) get(digest tokenDigest, now time.Time) *agents.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[digest]
	if !ok {
		return nil
	}
	e, ok := element.Value.(*entry)
	if !ok || !now.Before(e.until) || !e.keys.trusts(e.signer, now) {
		c.remove(element, digest)
		return nil
	}
	c.order.MoveToFront(element)
	return e.identity
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
