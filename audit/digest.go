package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// CallDigest is what people approve and what then runs: the hex SHA-256 over the
// JSON array of tool, definition, commitment to the arguments, issuer, principal
// and the actors' ids. The arguments enter through their salted commitment, so
// that the digest tells nothing of them once they are erased; where some of them are
// redacted on record, also through the commitment to what they were.
func CallDigest(i Intent) string {
	parts := []string{"deed call v1", i.Tool, i.Definition, i.Arguments.Digest, i.Identity.Issuer, i.Identity.Principal}
	for _, a := range i.Identity.Chain {
		parts = append(parts, a.ID)
	}
	if i.Redacted != nil {
		parts = append(parts, "exact", i.Redacted.Exact.Digest)
	}
	b, _ := json.Marshal(parts) // strings always marshal
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
