package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets
var embedded embed.FS

// asset is one file of the page. Browsers keep it, and ask each time whether it is
// still the same: all files of one build belong together.
type asset struct {
	name, mediaType, etag string
	body, packed          []byte // as it is, and by gzip
}

// ServeHTTP implements [http.Handler].
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", a.mediaType)
	h.Set("Vary", "Accept-Encoding")
	if a.name == worker {
		h.Set("Service-Worker-Allowed", "/")
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Header.Get("Range") == "" {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+a.etag+`-gzip"`)
		http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.packed))
		return
	}
	h.Set("ETag", `"`+a.etag+`"`)
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.body))
}

// worker shows notifications while no page is open; it is for the whole of the console.
const worker = "assets/worker.js"

// readAssets gives every embedded file by its pattern in a ServeMux.
func readAssets() (map[string]*asset, error) {
	files := map[string]*asset{}
	err := fs.WalkDir(embedded, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		mediaType := mediaTypeOf(name)
		if mediaType == "" {
			return fmt.Errorf("no media type for %s", name)
		}
		sum := sha256.Sum256(body)
		pattern := "/" + name
		if name == "assets/index.html" {
			pattern = "/{$}"
		}
		packed, err := pack(body)
		if err != nil {
			return err
		}
		files[pattern] = &asset{name: name, mediaType: mediaType, etag: hex.EncodeToString(sum[:16]), body: body, packed: packed}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read embedded files: %w", err)
	}
	return files, nil
}

func pack(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(body)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}

// mediaTypeOf does not ask the machine, whose answers differ.
func mediaTypeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return ""
	}
}
