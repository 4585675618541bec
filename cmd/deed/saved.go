package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// savedName is the file in the data directory with the searches that were kept.
const savedName = "searches.json"

var searchName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// searches are those that were kept, as queries of the API, but for times, which stay
// as they were written: 7d is the last seven days whenever it is run.
func (e *environment) searches() (string, map[string]string, error) {
	dir, err := e.dataDir()
	if err != nil {
		return "", nil, err
	}
	path := filepath.Join(dir, savedName)
	kept := map[string]string{}
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, kept, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read searches that were kept: %w", err)
	}
	return path, kept, nil
}

// savedQuery is a search that was kept; none if there is no name.
func (e *environment) savedQuery(name string) (url.Values, error) {
	if name == "" {
		return url.Values{}, nil
	}
	_, kept, err := e.searches()
	if err != nil {
		return nil, err
	}
	text, ok := kept[name]
	if !ok {
		return nil, withHint(usage("no search was kept as %s", plain(name)), "there are: "+firstOf(strings.Join(sortedKeys(kept), ", "), "none; keep one by --save"))
	}
	query, err := url.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("read searches that were kept: %w", err)
	}
	return query, nil
}

func (e *environment) saveQuery(name string, query url.Values) error {
	if !searchName.MatchString(name) {
		return usage("a search is kept under letters, digits, _ and -, at most 64")
	}
	path, kept, err := e.searches()
	if err != nil {
		return err
	}
	kept[name] = query.Encode()
	text, err := json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep search: %w", err)
	}
	return nil
}
