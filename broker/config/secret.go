package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	schemeEnv  = SchemeEnv + "://"
	schemeFile = SchemeFile + "://"
	schemeK8s  = SchemeK8s + "://"

	maxSecret = 64 << 10 // bytes of a secret's file
	redacted  = "(redacted)"
)

// The schemes of a [Secret].
const (
	SchemeEnv   = "env"
	SchemeFile  = "file"  // absolute path of a file that nobody but its owner reads
	SchemeK8s   = "k8s"   // absolute path of a token that Kubernetes projects
	SchemeVault = "vault" // path of the vault's API, and a field: vault://kv/data/crm#key
)

// Secret is a reference to a secret: "env://NAME", "file:///absolute/path",
// "k8s:///absolute/path" or "vault://path#field". It can hold nothing else, so that it may
// be logged, printed and compared.
type Secret struct{ ref string }

// ParseSecret reads a reference. Its error doesn't quote what it was given, which
// may be the secret itself.
func ParseSecret(ref string) (Secret, error) {
	name, isEnv := strings.CutPrefix(ref, schemeEnv)
	path, isFile := strings.CutPrefix(ref, schemeFile)
	if k8s, is := strings.CutPrefix(ref, schemeK8s); is {
		path, isFile = k8s, true
	}
	switch {
	case vaultForm.MatchString(ref):
		return Secret{ref}, nil
	case isEnv && name != "" && !strings.ContainsAny(name, "=\x00/ \t\n"):
		return Secret{ref}, nil
	case isFile && filepath.IsAbs(path) && !strings.Contains(path, "\x00"):
		return Secret{ref}, nil
	default:
		return Secret{}, errors.New(`is not a reference to a secret; write where it is: "env://NAME", "file:///absolute/path", "k8s:///absolute/path" or "vault://path#field"`)
	}
}

// vaultForm is of segments of a path that are none of . and .., and a field.
var vaultForm = regexp.MustCompile(`^vault://[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+#[A-Za-z0-9_.-]+$`)

// Scheme says where the secret is; empty if it refers to nothing.
func (s Secret) Scheme() string {
	scheme, _, _ := strings.Cut(s.ref, "://")
	return scheme
}

// Path is what follows the scheme: the name of a variable, a file, or a path in the vault
// with the field in it.
func (s Secret) Path() (path, field string) {
	_, rest, _ := strings.Cut(s.ref, "://")
	if s.Scheme() != SchemeVault {
		return rest, ""
	}
	path, field, _ = strings.Cut(rest, "#")
	return path, field
}

// IsZero reports whether the secret refers to nothing.
func (s Secret) IsZero() bool { return s.ref == "" }

// String is the reference, never the secret.
func (s Secret) String() string { return s.ref }

// LogValue is the reference, never the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.ref) }

// UnmarshalText is ParseSecret.
func (s *Secret) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSecret(string(text))
	return err
}

// MarshalText is the reference.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.ref), nil }

// Resolve reads the secret as it is now; call it again to see a rotated one. A
// newline at its end is not part of it. A file must be readable by its owner and
// group at most.
func (s Secret) Resolve() (string, error) {
	text, err := s.read()
	if err != nil {
		return "", fmt.Errorf("resolve secret %s: %w", s.ref, err)
	}
	text = strings.TrimRight(text, "\r\n")
	if text == "" {
		return "", fmt.Errorf("resolve secret %s: it is empty", s.ref)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("resolve secret %s: it contains control characters", s.ref)
	}
	return text, nil
}

// ResolveText is Resolve for what has lines, such as a key in PEM.
func (s Secret) ResolveText() ([]byte, error) {
	text, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("resolve secret %s: %w", s.ref, err)
	}
	return []byte(text), nil
}

func (s Secret) read() (string, error) {
	if name, isEnv := strings.CutPrefix(s.ref, schemeEnv); isEnv {
		text, set := os.LookupEnv(name)
		if !set {
			return "", errors.New("the environment variable is not set")
		}
		return text, nil
	}
	switch path, _ := s.Path(); s.Scheme() {
	case SchemeFile, SchemeK8s:
		return readSecretFile(path)
	case SchemeVault:
		return "", errors.New("it is in the vault, from which upstreams' credentials alone are read")
	default:
		return "", errors.New("it refers to nothing")
	}
}

func readSecretFile(path string) (_ string, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", errors.New("it is not a regular file")
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("its mode %04o lets everyone at it; chmod 0600 it", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if len(text) > maxSecret {
		return "", fmt.Errorf("it is longer than %d bytes", maxSecret)
	}
	return string(text), err
}

// Value is a setting that is written out, or a reference to a secret. Written out
// it is still kept from logs and prints, since people do put secrets there.
type Value struct {
	literal string
	secret  Secret
}

// Literal is a Value that is written out.
func Literal(text string) Value { return Value{literal: text} }

// Secret is the reference, and whether the value is one.
func (v Value) Secret() (ref Secret, is bool) { return v.secret, !v.secret.IsZero() }

// Resolve is the text that is written out, or the secret; see [Secret.Resolve].
func (v Value) Resolve() (string, error) {
	if v.secret.IsZero() {
		return v.literal, nil
	}
	return v.secret.Resolve()
}

// String is the reference; what is written out is redacted.
func (v Value) String() string {
	if v.secret.IsZero() {
		return redacted
	}
	return v.secret.String()
}

// LogValue is String.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// UnmarshalText takes a reference for what it is and anything else as written out.
func (v *Value) UnmarshalText(text []byte) (err error) {
	if isReference(string(text)) {
		v.secret, err = ParseSecret(string(text))
		return err
	}
	v.literal = string(text)
	return nil
}

// MarshalText is String.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

func isReference(text string) bool {
	return strings.HasPrefix(text, schemeEnv) || strings.HasPrefix(text, schemeFile)
}
