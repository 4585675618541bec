// Package place finds the store that the name of a place means: a directory, or
// s3://bucket/prefix.
package place

import (
	"path/filepath"
	"strings"

	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/archive/s3"
)

// Open returns the store at a place. Nothing is asked of it yet.
func Open(place string, o s3.Options) (archive.Store, error) {
	if !s3.IsURL(place) {
		return archive.Dir(place), nil
	}
	store, err := s3.New(place, o)
	if err != nil {
		return nil, err // not a store that holds nil
	}
	return store, nil
}

// Under is the place called name below another.
func Under(place, name string) string {
	if s3.IsURL(place) {
		return strings.TrimSuffix(place, "/") + "/" + name
	}
	return filepath.Join(place, name)
}
