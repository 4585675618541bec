package credentials

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const maxSecret = 64 << 10 // bytes of a secret's file

// Env is the secret in an environment variable of the broker.
func Env(name string) Source {
	ref := "env://" + name
	return single{newCached(ref, func(context.Context) (fetched, error) {
		text, set := os.LookupEnv(name)
		if !set {
			return fetched{}, errors.New("the environment variable is not set")
		}
		return secret(ref, text, time.Minute)
	})}
}

// file is a secret in a file, read again whenever the file has changed.
type file struct {
	ref, path string
	forbidden os.FileMode
}

// File is the secret in a file, which nobody but its owner may read (0600).
func File(path string) Source {
	f := file{"file://" + path, path, 0o077}
	return single{newCached(f.ref, f.read)}
}

// Projection is a token that Kubernetes projects into a file and renews there. Its group
// may read it too, as with fsGroup.
func Projection(path string) Source {
	f := file{"k8s://" + path, path, 0o007}
	return single{newCached(f.ref, f.read)}
}

// fileFresh is how long a file is not looked at again.
const fileFresh = time.Second

func (f file) read(context.Context) (_ fetched, err error) {
	open, err := os.Open(f.path)
	if err != nil {
		return fetched{}, causeOf(err)
	}
	defer func() { err = errors.Join(err, open.Close()) }()
	info, err := open.Stat()
	switch {
	case err != nil:
		return fetched{}, causeOf(err)
	case !info.Mode().IsRegular():
		return fetched{}, errors.New("it is not a regular file")
	case info.Mode().Perm()&f.forbidden != 0:
		return fetched{}, fmt.Errorf("its mode %04o lets others at it; chmod 0600 it", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(open, maxSecret+1))
	if err != nil {
		return fetched{}, causeOf(err)
	}
	got, err := secret(f.ref, string(text), fileFresh)
	if err != nil {
		return fetched{}, err
	}
	got.Version = info.ModTime().UTC().Format(time.RFC3339Nano)
	return got, nil
}

// causeOf is the cause of a file's error: the reference has its name already.
func causeOf(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// secret checks a text that is a secret. One that is a JWT ends when that says.
func secret(ref, text string, fresh time.Duration) (fetched, error) {
	text = strings.TrimRight(text, "\r\n")
	switch {
	case text == "":
		return fetched{}, errors.New("it is empty")
	case len(text) > maxSecret:
		return fetched{}, fmt.Errorf("it is longer than %d bytes", maxSecret)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fetched{}, errors.New("it contains control characters")
	}
	expires := expiryOf(text)
	if !expires.IsZero() && !time.Now().Before(expires) {
		return fetched{}, fmt.Errorf("it expired at %s", expires.Format(time.RFC3339))
	}
	return fetched{Credential{Secret(text), Reference{Source: ref, Expires: expires}}, fresh}, nil
}

// expiryOf reads when a JWT ends; zero if the text is none. Who made it is not checked:
// it is the broker's own.
func expiryOf(text string) time.Time {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(body, &claims) != nil || claims.Expires <= 0 || claims.Expires > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0).UTC()
}
