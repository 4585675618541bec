package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/builtin"
)

// The definitions of the tools.
const (
	readFile = `{"name":"read_file","title":"Read a file","description":"Reads a UTF-8 text file.","inputSchema":{"type":"object","properties":{"path":{"type":"string","minLength":1,"maxLength":1024,"description":"Relative to the directory, with slashes."}},"required":["path"],"additionalProperties":false},"annotations":{"readOnlyHint":true,"openWorldHint":false}}`

	listDirectory = `{"name":"list_directory","title":"List a directory","description":"Lists the files and directories in a directory.","inputSchema":{"type":"object","properties":{"path":{"type":"string","minLength":1,"maxLength":1024,"default":".","description":"Relative to the directory, with slashes; . is the directory itself."}},"required":["path"],"additionalProperties":false},"outputSchema":{"type":"object","properties":{"entries":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"type":{"enum":["file","directory","other"]},"size":{"type":"integer"},"modified":{"type":"string","format":"date-time"}},"required":["name","type"]}},"truncated":{"type":"boolean"}},"required":["entries"]},"annotations":{"readOnlyHint":true,"openWorldHint":false}}`

	writeFile = `{"name":"write_file","title":"Write a file","description":"Creates a text file, or replaces one. Missing directories are created.","inputSchema":{"type":"object","properties":{"path":{"type":"string","minLength":1,"maxLength":1024,"description":"Relative to the directory, with slashes."},"content":{"type":"string","description":"The whole of the file."}},"required":["path","content"],"additionalProperties":false},"annotations":{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":true,"openWorldHint":false}}`

	deleteFile = `{"name":"delete_file","title":"Delete a file","description":"Deletes a file or an empty directory.","inputSchema":{"type":"object","properties":{"path":{"type":"string","minLength":1,"maxLength":1024,"description":"Relative to the directory, with slashes."}},"required":["path"],"additionalProperties":false},"annotations":{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":false}}`
)

const (
	fileMode      = 0o600
	directoryMode = 0o700
	temporary     = ".deed-write-" // beginning of the name of a file being written
)

const errNotRegular refusal = "it is not a regular file"

func (f *Files) read(r request) (tools.Answer, error) {
	file, err := f.open(r.Path, fs.FileMode.IsRegular, errNotRegular)
	if err != nil {
		return tools.Answer{}, err
	}
	defer file.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(io.LimitReader(file, f.options.MaxFile+1))
	if err != nil {
		return tools.Answer{}, err
	}
	if int64(len(raw)) > f.options.MaxFile {
		return tools.Answer{}, f.tooLarge()
	}
	if !utf8.Valid(raw) {
		return tools.Answer{}, refusal("it is not UTF-8 text")
	}
	return builtin.Text(string(raw)), nil
}

// open opens for reading what is wanted. It does not wait for the other end of a pipe.
func (f *Files) open(name string, wanted func(fs.FileMode) bool, otherwise refusal) (*os.File, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !wanted(info.Mode()) {
		err = otherwise
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

type directoryEntry struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Size     int64  `json:"size"`
	Modified string `json:"modified"`
}

func (f *Files) list(r request) (tools.Answer, error) {
	dir, err := f.open(r.Path, fs.FileMode.IsDir, "it is not a directory")
	if err != nil {
		return tools.Answer{}, err
	}
	defer dir.Close() //nolint:errcheck // only read
	entries := []directoryEntry{}
	truncated := false
	for {
		batch, err := dir.ReadDir(256)
		for _, e := range batch {
			info, err := e.Info()
			if err != nil || strings.HasPrefix(e.Name(), temporary) {
				continue // deleted meanwhile, or being written
			}
			if truncated = len(entries) == f.options.MaxEntries; truncated {
				break
			}
			entries = append(entries, entryOf(info))
		}
		if errors.Is(err, io.EOF) || truncated {
			break
		}
		if err != nil {
			return tools.Answer{}, err
		}
	}
	return builtin.Structured(map[string]any{"entries": sorted(entries), "truncated": truncated})
}

func entryOf(info fs.FileInfo) directoryEntry {
	kind := "other"
	switch {
	case info.Mode().IsRegular():
		kind = "file"
	case info.IsDir():
		kind = "directory"
	}
	return directoryEntry{strings.ToValidUTF8(info.Name(), "\uFFFD"), kind, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)}
}

// write replaces the file by a complete new one, or leaves it as it was.
func (f *Files) write(r request) (tools.Answer, error) {
	if int64(len(r.Content)) > f.options.MaxFile {
		return tools.Answer{}, f.tooLarge()
	}
	dir := path.Dir(r.Path)
	if err := f.root.MkdirAll(dir, directoryMode); err != nil {
		return tools.Answer{}, err
	}
	if info, err := f.root.Lstat(r.Path); err == nil && !info.Mode().IsRegular() {
		return tools.Answer{}, errNotRegular
	}
	draft := path.Join(dir, temporary+rand.Text())
	if err := f.create(draft, r.Content); err != nil {
		return tools.Answer{}, err
	}
	if err := f.root.Rename(draft, r.Path); err != nil {
		return tools.Answer{}, errors.Join(err, f.root.Remove(draft))
	}
	return builtin.Text(fmt.Sprintf("wrote %d bytes", len(r.Content))), nil
}

// create writes a new file durably, or leaves none.
func (f *Files) create(name, content string) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, f.root.Remove(name))
	}
	return nil
}

func (f *Files) remove(r request) (tools.Answer, error) {
	if r.Path == "." {
		return tools.Answer{}, refusal("the directory itself cannot be deleted")
	}
	if err := f.root.Remove(r.Path); err != nil {
		return tools.Answer{}, err
	}
	return builtin.Text("deleted"), nil
}

func (f *Files) tooLarge() error {
	return refusal(fmt.Sprintf("it is larger than %d bytes", f.options.MaxFile))
}

func sorted(entries []directoryEntry) []directoryEntry {
	slices.SortFunc(entries, func(a, b directoryEntry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}
