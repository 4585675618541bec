// Package eddsa verifies many Ed25519 signatures of few keys, at a third of what
// crypto/ed25519 takes for each. It accepts what that accepts, and nothing else.
//
// A signature (R, S) of M is valid if S·B - k·A, encoded, is R byte by byte, where
// k = SHA-512(R, A, M): the equation without cofactor, as crypto/ed25519 computes it. Nothing is
// traded for speed: each signature is checked by itself, by that equation. What is saved is
//
//   - the doublings: the multiples of B and of a key that has signed much are kept
//     in tables (32·128 points, 640 KiB each), so that a product is at most 32 additions of points from
//     there;
//   - the inversions: points are encoded many at a time, by Montgomery's trick.
//
// A batch in the usual sense, one random combination of all equations, would be
// cheaper still, but must multiply by the cofactor, and then accepts signatures that verification one by
// one refuses; or it must prove each R to be free of torsion, which costs as much as it saves.
//
// Points, scalars and field elements are those of filippo.io/edwards25519, from whose
// authors crypto/ed25519 has its own. What does not verify here is asked of crypto/ed25519, which has the
// last word. Verification has no secrets: nothing here takes constant time.
package eddsa
