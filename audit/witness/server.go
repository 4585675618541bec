package witness

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit/seal"
)

// maxLogs is how many logs a key that is known may have a witness sign.
const maxLogs = 4096

// Log is whose checkpoints a witness signs: those with the key's own name for an origin,
// or one below it. A tenant's key, deed/acme, so stands for all the tenant's logs.
type Log struct{ Key note.Verifier }

func (l Log) has(origin string) bool {
	return origin == l.Key.Name() || strings.HasPrefix(origin, l.Key.Name()+"/")
}

// Server is a witness.
type Server struct {
	cosigner *seal.Cosigner
	logger   *slog.Logger

	mu    sync.Mutex // one request is decided at a time: two must not extend one tree
	logs  []Log      // guarded by mu: with the keys that are in force by now
	state *state     // guarded by mu
}

// NewServer opens the directory in which a witness keeps what it has signed, and takes
// it for this process alone. Close gives it back.
func NewServer(dir string, cosigner *seal.Cosigner, logs []Log, logger *slog.Logger) (*Server, error) {
	if len(logs) == 0 {
		return nil, errors.New("new witness: no log is known")
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	state, err := openState(dir)
	if err != nil {
		return nil, fmt.Errorf("new witness: %w", err)
	}
	s := &Server{cosigner: cosigner, logs: slices.Clone(logs), state: state, logger: logger}
	if err := s.recall(); err != nil {
		return nil, errors.Join(fmt.Errorf("new witness: %w", err), state.close())
	}
	return s, nil
}

// Close ends it. Requests that come later fail.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.close()
}

// refusal is an answer other than a signature.
type refusal struct {
	status int
	why    string
}

func (r *refusal) Error() string { return r.why }

// ServeHTTP answers POST /add-checkpoint and POST /add-rotation.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handle := map[string]func(body string) (string, error){
		addCheckpoint: func(body string) (string, error) { return s.add(body, time.Now()) },
		addRotation:   func(body string) (string, error) { return "", s.succeed(body) },
	}[r.URL.Path]
	switch {
	case handle == nil:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request cannot be read, or is too long", http.StatusBadRequest)
		return
	}
	s.answer(w, r, func() (string, error) { return handle(string(body)) })
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, decide func() (string, error)) {
	line, err := decide()
	conflict, isConflict := errors.AsType[*ConflictError](err)
	refused, isRefusal := errors.AsType[*refusal](err)
	switch {
	case isConflict:
		w.Header().Set("Content-Type", sizeType)
		w.WriteHeader(http.StatusConflict)
		_, err = fmt.Fprintf(w, "%d\n", conflict.Size)
	case isRefusal:
		s.logger.LogAttrs(r.Context(), slog.LevelWarn, "refused", slog.String("path", r.URL.Path), slog.String("why", refused.why))
		http.Error(w, refused.why, refused.status)
		return
	case err != nil:
		s.logger.LogAttrs(r.Context(), slog.LevelError, "not signed", slog.String("path", r.URL.Path), slog.String("error", err.Error()))
		http.Error(w, "what was signed cannot be stored", http.StatusInternalServerError)
		return
	default:
		_, err = io.WriteString(w, line)
	}
	if err != nil {
		s.logger.LogAttrs(r.Context(), slog.LevelDebug, "answer not taken", slog.String("error", err.Error()))
	}
}

// add decides on a request. The signature is made only once what is signed is durable.
func (s *Server) add(body string, now time.Time) (string, error) {
	req, err := parseRequest(body)
	if err != nil {
		return "", &refusal{http.StatusBadRequest, err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tree, text, err := s.open(req.note)
	if err != nil {
		return "", err
	}
	if req.old > tree.size {
		return "", &refusal{http.StatusBadRequest, "old is larger than the checkpoint"}
	}
	last, err := s.state.last(tree.origin)
	if err != nil {
		return "", err
	}
	if last.size != req.old {
		return "", &ConflictError{last.size}
	}
	if err := extends(last, tree, req.proof); err != nil {
		return "", err
	}
	if err := s.state.store(tree, req.note); err != nil {
		return "", err
	}
	return s.cosigner.Cosign(text, now), nil
}

// open verifies that a log that is known signed the checkpoint. The caller holds mu.
func (s *Server) open(signed string) (tree, string, error) {
	origin, _, _ := strings.Cut(signed, "\n")
	var keys []note.Verifier
	for _, l := range s.logs {
		if l.has(origin) {
			keys = append(keys, l.Key)
		}
	}
	if len(keys) == 0 {
		return tree{}, "", &refusal{http.StatusNotFound, "this log is not known here"}
	}
	n, err := note.Open([]byte(signed), note.VerifierList(keys...))
	if err != nil {
		return tree{}, "", &refusal{http.StatusForbidden, "the checkpoint is not signed by a key of this log"}
	}
	t, err := parseTree(n.Text)
	if err != nil {
		return tree{}, "", &refusal{http.StatusBadRequest, err.Error()}
	}
	return t, n.Text, nil
}

// extends checks that the tree extends the one that was signed last.
func extends(last, now tree, proof []tlog.Hash) error {
	switch {
	case last.size == 0:
		if len(proof) > 0 {
			return &refusal{http.StatusUnprocessableEntity, "nothing has to be proved of an empty tree"}
		}
	case last.size == now.size:
		if last.root != now.root {
			return &refusal{http.StatusConflict, "a tree of this size was signed with another root: the log has forked"}
		}
		if len(proof) > 0 {
			return &refusal{http.StatusUnprocessableEntity, "nothing has to be proved of the same tree"}
		}
	case tlog.CheckTree(proof, now.size, now.root, last.size, last.root) != nil:
		return &refusal{http.StatusUnprocessableEntity, "the proof does not show that the tree extends what was signed"}
	}
	return nil
}
