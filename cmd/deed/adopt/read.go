package adopt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

const maxFile = 16 << 20 // bytes

// entry is a server as a client has it configured.
type entry struct {
	at   string // JSON pointer
	name string

	command []string
	env     map[string]string
	dir     string
	nested  bool // Zed's older form: command is an object

	url     string
	sse     bool
	headers map[string]string

	left string // why it is left as it is; empty if it is adopted
}

// source is a client's file as it is.
type source struct {
	File
	real    string // its path without symbolic links
	text    []byte
	mode    fs.FileMode
	entries []entry
}

// read reads a client's file; nil if there is none.
func read(f File) (*source, error) {
	path, err := filepath.EvalSymlinks(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // the client is not there
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file of less than %d bytes", f.Path, maxFile)
	}
	s := &source{File: f, real: path, mode: info.Mode().Perm()}
	if s.text, err = os.ReadFile(path); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(s.text)) == 0 {
		return nil, nil //nolint:nilnil // an empty file has no servers
	}
	return s, s.find()
}

// parse gives a value of its own: what it is read from changes with it.
func (s *source) parse() (hujson.Value, error) { return hujson.Parse(bytes.Clone(withoutMark(s.text))) }

// plain is the file as JSON without comments.
func (s *source) plain() (hujson.Value, error) {
	value, err := s.parse()
	value.Standardize()
	return value, err
}

var byteOrderMark = []byte("\xef\xbb\xbf") //nolint:gochecknoglobals // a constant

func withoutMark(text []byte) []byte { return bytes.TrimPrefix(text, byteOrderMark) }

// find finds the servers.
func (s *source) find() error {
	value, err := s.plain()
	if err != nil {
		return fmt.Errorf("%s is not JSON: %w", s.Path, err)
	}
	var root map[string]json.RawMessage
	if err := json.Unmarshal(value.Pack(), &root); err != nil {
		return fmt.Errorf("%s is no JSON object", s.Path)
	}
	c := clientOf(s.Client)
	if err := s.collect(c, "/"+c.key, root[c.key]); err != nil {
		return err
	}
	if c.id != "claude-code" {
		return nil
	}
	var projects map[string]map[string]json.RawMessage // Claude Code has servers by project as well
	if raw := root["projects"]; len(raw) > 0 {
		if err := json.Unmarshal(raw, &projects); err != nil {
			return fmt.Errorf("%s: /projects is no object of projects", s.Path)
		}
	}
	for _, project := range slices.Sorted(maps.Keys(projects)) {
		if err := s.collect(c, "/projects/"+escapePointer(project)+"/"+c.key, projects[project][c.key]); err != nil {
			return err
		}
	}
	return nil
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func (s *source) collect(c client, at string, raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var servers map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &servers); err != nil {
		return fmt.Errorf("%s: %s is no object of servers", s.Path, at)
	}
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		e := entry{at: at + "/" + escapePointer(name), name: name}
		if err := e.read(c, servers[name]); err != nil {
			e.left = err.Error()
		}
		s.entries = append(s.entries, e)
	}
	return nil
}

// read understands an entry; the error says why it cannot be adopted.
func (e *entry) read(c client, members map[string]json.RawMessage) error {
	if err := e.readCommand(members); err != nil {
		return err
	}
	if err := e.readURL(c, members); err != nil {
		return err
	}
	for name, into := range map[string]any{"env": &e.env, "headers": &e.headers, "cwd": &e.dir} {
		if raw, ok := members[name]; ok && string(raw) != "null" && json.Unmarshal(raw, into) != nil {
			return fmt.Errorf("its %s is not text", name)
		}
	}
	var environment string
	_ = json.Unmarshal(members["envFile"], &environment) // none if it is not text
	switch {
	case environment != "":
		return errors.New("it has a file of environment variables, which its client reads")
	case len(e.command) > 0 && e.url != "":
		return errors.New("it has a command and a URL")
	case len(e.command) == 0 && e.url == "":
		return errors.New("it has neither a command nor a URL")
	case e.isDeed():
		return errAdopted
	case strings.HasPrefix(e.url, "http://") && !isLoopback(e.url):
		return errors.New("its URL is http to another machine; use https")
	}
	return e.variables()
}

var errAdopted = errors.New("it goes through Deed already")

func (e *entry) isDeed() bool {
	if len(e.command) < 2 {
		return false
	}
	base := strings.TrimSuffix(strings.ToLower(filepath.Base(strings.ReplaceAll(e.command[0], `\`, "/"))), ".exe")
	return base == "deed" && e.command[1] == "stdio"
}

func (e *entry) readCommand(members map[string]json.RawMessage) error {
	raw := members["command"]
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var program string
	var args []string
	var nested struct {
		Path string            `json:"path"`
		Args []string          `json:"args"`
		Env  map[string]string `json:"env"`
	}
	switch {
	case json.Unmarshal(raw, &program) == nil:
		if raw, ok := members["args"]; ok && json.Unmarshal(raw, &args) != nil {
			return errors.New("its args are not a list of text")
		}
	case json.Unmarshal(raw, &nested) == nil:
		program, args, e.env, e.nested = nested.Path, nested.Args, nested.Env, true
	}
	if program == "" {
		return errors.New("its command is not text")
	}
	e.command = append([]string{program}, args...)
	return nil
}

func (e *entry) readURL(c client, members map[string]json.RawMessage) error {
	var kind string
	_ = json.Unmarshal(members["type"], &kind) // none if it is not text
	for _, member := range slices.Concat(c.streams, c.events) {
		raw, ok := members[member]
		if !ok || e.url != "" {
			continue
		}
		if json.Unmarshal(raw, &e.url) != nil || !strings.Contains(e.url, "://") {
			return fmt.Errorf("its %s is no URL", member)
		}
		e.sse = kind == "sse" || slices.Contains(c.events, member) && !slices.Contains(c.streams, member)
	}
	return nil
}

// variables refuses what only the client can fill in.
func (e *entry) variables() error {
	texts := append(slices.Clone(e.command), e.url, e.dir)
	texts = slices.AppendSeq(slices.AppendSeq(texts, maps.Values(e.env)), maps.Values(e.headers))
	for _, text := range texts {
		if strings.Contains(text, "${") {
			return errors.New("it has a variable that its client fills in")
		}
	}
	return nil
}

func isLoopback(url string) bool {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	host = strings.Trim(strings.TrimRight(host, "0123456789"), ":[]")
	return host == "localhost" || strings.HasPrefix(rest, "127.") || strings.HasPrefix(rest, "[::1]")
}
