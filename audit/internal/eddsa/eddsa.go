package eddsa

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"sync"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

const (
	worthTable = 32 // signatures of a key after which it gets a table, which costs as much
	maxTables  = 8  // at a time
)

// Signed is a message with what is said to be its signature.
type Signed struct {
	Public             ed25519.PublicKey
	Message, Signature []byte
}

// Verifier keeps the tables. It may be used by several goroutines.
type Verifier struct {
	base func() *multiples

	mu    sync.Mutex
	keys  map[string]*key // guarded by mu
	clock int64           // guarded by mu
}

// key is a public one that was met.
type key struct {
	met   int
	last  int64 // when, by the clock
	table func() *multiples
}

// New makes a verifier without any tables.
func New() *Verifier {
	return &Verifier{
		base: sync.OnceValue(func() *multiples { return multiplesOf(edwards25519.NewGeneratorPoint()) }),
		keys: map[string]*key{},
	}
}

// Valid tells of each whether [ed25519.Verify] accepts it.
func (v *Verifier) Valid(all []Signed) []bool {
	valid := make([]bool, len(all))
	var sums []edwards25519.Point
	var at []int
	for i, s := range all {
		if table := v.tableOf(s.Public); table != nil {
			if sum, ok := v.sum(s, table); ok {
				sums, at = append(sums, *sum), append(at, i)
			}
		}
	}
	for j, encoded := range encode(sums) {
		valid[at[j]] = bytes.Equal(encoded[:], all[at[j]].Signature[:32])
	}
	for i, s := range all {
		if !valid[i] && len(s.Public) == ed25519.PublicKeySize {
			valid[i] = ed25519.Verify(s.Public, s.Message, s.Signature)
		}
	}
	return valid
}

// sum is S·B - k·A, if there is such an S.
func (v *Verifier) sum(s Signed, table *multiples) (*edwards25519.Point, bool) {
	if len(s.Signature) != ed25519.SignatureSize {
		return nil, false
	}
	if _, err := new(edwards25519.Scalar).SetCanonicalBytes(s.Signature[32:]); err != nil {
		return nil, false
	}
	h := sha512.New()
	h.Write(s.Signature[:32])
	h.Write(s.Public)
	h.Write(s.Message)
	var digest [sha512.Size]byte
	k, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(digest[:0]))
	if err != nil {
		return nil, false
	}
	sum := edwards25519.NewIdentityPoint()
	v.base().addTo(sum, s.Signature[32:], false)
	table.addTo(sum, k.Bytes(), true)
	return sum, true
}

// encode encodes points as [edwards25519.Point.Bytes] does, with one inversion for all.
func encode(points []edwards25519.Point) [][32]byte {
	out := make([][32]byte, len(points))
	products := make([]field.Element, len(points)+1) // of the Z of all before
	products[0].One()
	for i := range points {
		_, _, z, _ := points[i].ExtendedCoordinates()
		products[i+1].Multiply(&products[i], z)
	}
	var inverse, one field.Element
	inverse.Invert(&products[len(points)]) // of all Z that are still to come; none is zero
	for i := len(points) - 1; i >= 0; i-- {
		x, y, z, _ := points[i].ExtendedCoordinates()
		one.Multiply(&inverse, &products[i])
		inverse.Multiply(&inverse, z)
		copy(out[i][:], y.Multiply(y, &one).Bytes())
		if x.Multiply(x, &one).IsNegative() == 1 {
			out[i][31] |= 0x80
		}
	}
	return out
}

// tableOf is the table of a key that is met often; nil for others, and for what is no key.
func (v *Verifier) tableOf(public ed25519.PublicKey) *multiples {
	v.mu.Lock()
	k := v.keys[string(public)]
	if k == nil {
		v.forget()
		k = &key{table: sync.OnceValue(func() *multiples { return tableOf(public) })}
		v.keys[string(public)] = k
	}
	v.clock++
	k.met, k.last = k.met+1, v.clock
	often := k.met > worthTable
	v.mu.Unlock()
	if !often {
		return nil
	}
	return k.table()
}

func tableOf(public ed25519.PublicKey) *multiples {
	a, err := new(edwards25519.Point).SetBytes(public)
	if err != nil {
		return nil
	}
	return multiplesOf(a)
}

// forget makes room for another key: the one goes that was met longest ago. The caller holds mu.
func (v *Verifier) forget() {
	if len(v.keys) < maxTables {
		return
	}
	oldest := ""
	for public, k := range v.keys {
		if oldest == "" || k.last < v.keys[oldest].last {
			oldest = public
		}
	}
	delete(v.keys, oldest)
}
