package eddsa_test

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"filippo.io/edwards25519"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/internal/eddsa"
)

// often is more than a key is met before it gets a table.
const often = 50

// smallOrder are all encodings that crypto/ed25519 decodes to the eight points of small order:
// also those whose y is not reduced, and those whose x is zero and has a sign.
var smallOrder = func() [][]byte {
	var all [][]byte
	for _, text := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000", // the identity
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p, not reduced
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p+1
	} {
		encoded, err := hex.DecodeString(text)
		if err != nil {
			panic(err)
		}
		signed := slices.Clone(encoded)
		signed[31] |= 0x80
		all = append(all, encoded, signed)
	}
	return all
}()

func random(r *rand.Rand) *edwards25519.Scalar {
	var b [64]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	s, err := new(edwards25519.Scalar).SetUniformBytes(b[:])
	if err != nil {
		panic(err)
	}
	return s
}

func point(tb testing.TB, encoded []byte) *edwards25519.Point {
	tb.Helper()
	p, err := new(edwards25519.Point).SetBytes(encoded)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// signed signs with a secret whose public key, and with a nonce whose point, are encoded as
// given, whatever they are: S = r + k·a.
func signed(public, nonce []byte, a, r *edwards25519.Scalar, message []byte) eddsa.Signed {
	h := sha512.New()
	h.Write(nonce)
	h.Write(public)
	h.Write(message)
	k, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(nil))
	if err != nil {
		panic(err)
	}
	s := new(edwards25519.Scalar).MultiplyAdd(k, a, r)
	return eddsa.Signed{Public: public, Message: message, Signature: append(slices.Clone(nonce), s.Bytes()...)}
}

// TestAcceptsWhatTheStandardLibraryAccepts is about all keys and nonces that are of small order,
// have a part that is, or are encoded otherwise than they should be; and about S beyond its bounds: the
// cases of "Taming the many EdDSAs", each also with keys that have a table.
func TestAcceptsWhatTheStandardLibraryAccepts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) // the same cases each time
	zero := edwards25519.NewScalar()
	a, nonce := random(r), random(r)
	A, R := new(edwards25519.Point).ScalarBaseMult(a), new(edwards25519.Point).ScalarBaseMult(nonce)
	type side struct {
		encoded []byte
		scalar  *edwards25519.Scalar
	}
	keys, nonces := []side{{A.Bytes(), a}}, []side{{R.Bytes(), nonce}}
	for _, small := range smallOrder {
		torsion := point(t, small)
		keys = append(keys, side{small, zero}, side{new(edwards25519.Point).Add(A, torsion).Bytes(), a})
		nonces = append(nonces, side{small, zero}, side{new(edwards25519.Point).Add(R, torsion).Bytes(), nonce})
	}
	accepted, refused := 0, 0
	for i, key := range keys {
		var all []eddsa.Signed
		for _, n := range nonces {
			for m := range 4 { // so that parts of small order cancel in some, and not in others
				all = append(all, signed(key.encoded, n.encoded, key.scalar, n.scalar, fmt.Appendf(nil, "message %d", m)))
			}
		}
		v := eddsa.New()
		for _, batch := range [][]eddsa.Signed{all[:1], all, all, beyond(all)} {
			for j, got := range v.Valid(batch) {
				s := batch[j]
				want := ed25519.Verify(s.Public, s.Message, s.Signature)
				if got != want {
					t.Errorf("key %d, signature %d: %v, crypto/ed25519 says %v", i, j, got, want)
				}
				if want {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	if accepted < 500 || refused < 500 {
		t.Errorf("%d accepted, %d refused: the cases do not show anything", accepted, refused)
	}
}

// beyond spoils signatures: S + L, S with its highest bits, too short, too long, other bytes.
func beyond(all []eddsa.Signed) []eddsa.Signed {
	order, err := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	if err != nil {
		panic(err)
	}
	var out []eddsa.Signed
	for i, s := range all {
		g := slices.Clone(s.Signature)
		switch i % 5 {
		case 0:
			carry := 0
			for j := range order {
				carry += int(g[32+j]) + int(order[j])
				g[32+j] = byte(carry)
				carry >>= 8
			}
		case 1:
			g[63] |= 0xe0
		case 2:
			g = g[:63]
		case 3:
			g = append(g, 0)
		case 4:
			g[i%64] ^= 1
		}
		out = append(out, eddsa.Signed{Public: s.Public, Message: s.Message, Signature: g})
	}
	return out
}

// TestManyKeysAtOnce has more keys than there are tables, and what is no key.
func TestManyKeysAtOnce(t *testing.T) {
	t.Parallel()
	v := eddsa.New()
	var all []eddsa.Signed
	for k := range 10 {
		public, secret, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range often {
			m := fmt.Appendf(nil, "%d of %d", n, k)
			all = append(all, eddsa.Signed{Public: public, Message: m, Signature: ed25519.Sign(secret, m)})
		}
	}
	all = append(all, eddsa.Signed{}, eddsa.Signed{Public: make([]byte, 5)}, eddsa.Signed{Public: slices.Repeat([]byte{2}, 32), Signature: make([]byte, 64)})
	mixed := rand.New(rand.NewPCG(3, 4))
	for range 2 {
		for i, got := range v.Valid(all) {
			if s := all[i]; got != (len(s.Message) > 0) {
				t.Errorf("%x of %x: %v", s.Message, s.Public, got)
			}
		}
		mixed.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	if got := v.Valid(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// FuzzValid looks for a signature that is accepted here and not there, or there and not here.
func FuzzValid(f *testing.F) {
	v := eddsa.New()
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	for range often {
		v.Valid([]eddsa.Signed{{Public: public, Signature: ed25519.Sign(secret, nil)}})
	}
	f.Add([]byte("a message"), []byte{}, uint8(0))
	f.Add([]byte(""), make([]byte, 64), uint8(1))
	f.Fuzz(func(t *testing.T, message, spoil []byte, own uint8) {
		s := eddsa.Signed{Public: public, Message: message, Signature: ed25519.Sign(secret, message)}
		if own%2 == 1 {
			s.Signature = spoil
		} else {
			for i := range min(len(spoil), len(s.Signature)) {
				s.Signature[i] ^= spoil[i]
			}
		}
		if got, want := v.Valid([]eddsa.Signed{s})[0], ed25519.Verify(public, message, s.Signature); got != want {
			t.Errorf("%v, crypto/ed25519 says %v", got, want)
		}
	})
}

// BenchmarkValid compares what a signature costs, of messages as long as statements are.
func BenchmarkValid(b *testing.B) {
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	var all []eddsa.Signed
	for n := range 32 {
		m := fmt.Appendf(make([]byte, 650), "%d", n)
		all = append(all, eddsa.Signed{Public: public, Message: m, Signature: ed25519.Sign(secret, m)})
	}
	v := eddsa.New()
	for range 2 {
		v.Valid(all)
	}
	for name, check := range map[string]func(){
		"tables": func() { v.Valid(all) },
		"standard": func() {
			for _, s := range all {
				ed25519.Verify(s.Public, s.Message, s.Signature)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			before := audittest.CPUTime(b)
			for b.Loop() {
				check()
			}
			b.ReportMetric(float64((audittest.CPUTime(b)-before).Nanoseconds())/float64(b.N*len(all)), "cpu-ns/signature")
		})
	}
}
