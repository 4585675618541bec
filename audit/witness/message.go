package witness

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// maxBody bounds requests and answers.
	maxBody = 64 << 10
	// maxProof is how many hashes a consistency proof has at most.
	maxProof = 63

	addCheckpoint = "/add-checkpoint"
	sizeType      = "text/x.tlog.size"
)

// request is what POST add-checkpoint carries.
type request struct {
	old   int64       // size of the tree that the witness has signed
	proof []tlog.Hash // that note's tree extends it
	note  string
}

func (r request) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", r.old)
	for _, h := range r.proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	return b.String() + "\n" + r.note
}

func parseRequest(body string) (request, error) {
	head, note, ok := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	size, sized := strings.CutPrefix(lines[0], "old ")
	if !ok || !sized {
		return request{}, errors.New("not of the form of C2SP tlog-witness: old SIZE, a proof, an empty line, a checkpoint")
	}
	if len(lines) > 1+maxProof {
		return request{}, errors.New("the proof is too long")
	}
	r := request{note: note, proof: make([]tlog.Hash, len(lines)-1)}
	var err error
	if r.old, err = parseSize(size); err != nil {
		return request{}, err
	}
	for i, line := range lines[1:] {
		if r.proof[i], err = parseHash(line); err != nil {
			return request{}, err
		}
	}
	return r, nil
}

func parseSize(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, errors.New("a size is not a number")
	}
	return n, nil
}

func parseHash(text string) (tlog.Hash, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != tlog.HashSize {
		return tlog.Hash{}, errors.New("a hash is not 32 bytes in base64")
	}
	return tlog.Hash(raw), nil
}
