package pulsar

import (
	"sync"

	"github.com/deedbroker/deed/audit"
)

// grown is a tree of keys that remembers the way to the key it made last. Keys are taken
// in the order of the leaves, and asked for nearly so: mostly one or two steps of the way
// are new.
type grown struct {
	keyTree

	mu      sync.Mutex
	path    string   // guarded by mu: of the key made last
	secrets [][]byte // guarded by mu: of the nodes on the way to it, the last is the key
}

func grow(t keyTree) *grown { return &grown{keyTree: t} }

// key is [keyTree.key].
func (g *grown) key(path string) ([]byte, error) {
	if len(path) != keyDepth {
		return g.keyTree.key(path)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	from := len(g.path) - len(g.secrets) + 1 // how long the path of the first node is
	same := 0
	for same < len(g.path) && path[same] == g.path[same] {
		same++
	}
	if same < from || len(g.secrets) == 0 {
		n, some := g.above(path)
		if !some {
			return nil, audit.ErrErased
		}
		from, same, g.secrets = len(n.Path), len(n.Path), append(g.secrets[:0], n.Secret)
	}
	g.path, g.secrets = path, g.secrets[:same-from+1]
	for i := same; i < len(path); i++ {
		g.secrets = append(g.secrets, child(g.secrets[len(g.secrets)-1], path[i]))
	}
	return g.secrets[len(g.secrets)-1], nil
}
