package config_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/broker/config"
)

func TestSecretIsOnlyEverAReference(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "s3cr3t", "env://", "env://A=B", "env://A B", "file://relative", "file://", "https://s3cr3t"} {
		s, err := config.ParseSecret(text)
		if err == nil || !s.IsZero() {
			t.Errorf("%q was taken for a reference", text)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("the error quotes what may be a secret: %v", err)
		}
	}
}

func TestSecretResolves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	t.Setenv("DEED_TEST_SECRET", "from-env")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	resolve := func(ref string) (string, error) {
		t.Helper()
		s, err := config.ParseSecret(ref)
		if err != nil {
			t.Fatal(err)
		}
		return s.Resolve()
	}
	if got, err := resolve("env://DEED_TEST_SECRET"); err != nil || got != "from-env" {
		t.Errorf("got %q, %v", got, err)
	}
	write("from-file\n", 0o600)
	if got, err := resolve("file://" + path); err != nil || got != "from-file" {
		t.Errorf("got %q, %v", got, err)
	}
	write("rotated", 0o640)
	if got, err := resolve("file://" + path); err != nil || got != "rotated" {
		t.Errorf("after rotation: got %q, %v", got, err)
	}
	for _, tt := range []struct {
		why, text string
		mode      os.FileMode
	}{
		{"open to everyone", "s3cr3t", 0o604},
		{"empty", "\n", 0o600},
		{"a header injection", "s3cr3t\r\nX: y", 0o600},
		{"too long", strings.Repeat("s3cr3t", 20_000), 0o600},
	} {
		write(tt.text, tt.mode)
		if got, err := resolve("file://" + path); err == nil || got != "" || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: got %q, %v", tt.why, got, err)
		}
	}
	for _, ref := range []string{"env://DEED_TEST_NOT_SET", "file://" + path + ".missing", "file://" + filepath.Dir(path)} {
		if _, err := resolve(ref); err == nil || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: the error doesn't name it: %v", ref, err)
		}
	}
	if _, err := (config.Secret{}).Resolve(); err == nil {
		t.Error("a secret that refers to nothing was resolved")
	}
}

func TestWrittenOutValuesAreRedacted(t *testing.T) {
	t.Parallel()
	v := config.Literal("s3cr3t")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("value", v))
	text, err := v.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{log.String(), fmt.Sprint(v), fmt.Sprintf("%v %s", v, v), string(text)} {
		if strings.Contains(shown, "s3cr3t") {
			t.Errorf("shown as %q", shown)
		}
	}
	if got, err := v.Resolve(); err != nil || got != "s3cr3t" {
		t.Errorf("resolved to %q, %v", got, err)
	}
	if _, is := v.Secret(); is {
		t.Error("it is taken for a reference")
	}
}
