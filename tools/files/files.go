package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/builtin"
)

// Defaults of [Options].
const (
	DefaultMaxFile    = 1 << 20
	DefaultMaxEntries = 1000
)

// Options bound what the tools take and give. Zero values mean the defaults.
type Options struct {
	MaxFile    int64 // bytes of a file that is read or written
	MaxEntries int   // of a directory that is listed
}

// Files is the upstream. Close it when it is no longer called.
type Files struct {
	*builtin.Upstream
	root    *os.Root
	options Options
}

var _ tools.Upstream = (*Files)(nil)

// Open makes an upstream of the directory dir, which must exist.
func Open(dir string, o Options) (*Files, error) {
	if o.MaxFile <= 0 {
		o.MaxFile = DefaultMaxFile
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open files: %w", err)
	}
	f := &Files{root: root, options: o}
	f.Upstream, err = builtin.New(
		builtin.Function{Definition: json.RawMessage(readFile), Run: f.run(f.read)},
		builtin.Function{Definition: json.RawMessage(listDirectory), Run: f.run(f.list)},
		builtin.Function{Definition: json.RawMessage(writeFile), Run: f.run(f.write)},
		builtin.Function{Definition: json.RawMessage(deleteFile), Run: f.run(f.remove)},
	)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

// Close releases the directory.
func (f *Files) Close() error { return f.root.Close() }

// request is the arguments of every tool here.
type request struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

// run makes a tool of do, whose errors become the tool's own.
func (f *Files) run(do func(request) (tools.Answer, error)) func(context.Context, tools.Call) (tools.Answer, error) {
	return func(_ context.Context, c tools.Call) (tools.Answer, error) {
		var r request
		if err := builtin.Arguments(c, &r); err != nil {
			return tools.Answer{}, err
		}
		r.Path = path.Clean(r.Path)
		a, err := do(r)
		if err != nil {
			return builtin.Failure(reason(err)), nil
		}
		return a, nil
	}
}

// refusal is a reason of our own.
type refusal string

func (r refusal) Error() string { return string(r) }

// reason is err for an agent: without the paths of this machine.
func reason(err error) string {
	own, isOwn := errors.AsType[refusal](err)
	switch {
	case isOwn:
		return string(own)
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file or directory"
	case errors.Is(err, fs.ErrExist):
		return "there is something of that name already"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err.Error()
	}
	if at, ok := errors.AsType[*os.LinkError](err); ok {
		return at.Err.Error()
	}
	return "it did not work"
}
