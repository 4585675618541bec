package login_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents/login"
)

func TestSessionsAreKeptByBroker(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deed", "sessions.json")
	store := login.NewStore(path)
	if _, err := store.Load("https://deed.example"); !errors.Is(err, login.ErrNoSession) {
		t.Errorf("before any sign-in: %v", err)
	}
	session := func(name string) login.Session {
		return login.Session{Issuer: "https://idp.example", ClientID: "deed-cli", Token: login.Token{
			Access: login.Secret(name), Scopes: []string{"a"}, Expires: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		}}
	}
	for broker, name := range map[string]string{"https://deed.example/": "one", "http://127.0.0.1:8642": "two"} {
		if err := store.Save(t.Context(), broker, session(name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := login.NewStore(path).Load("https://deed.example")
	if err != nil {
		t.Fatal(err)
	}
	if want := session("one"); !cmp.Equal(&want, got) {
		t.Errorf("another session came back: %s", got.Issuer)
	}
	if err := store.Delete(t.Context(), "https://deed.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load("https://deed.example"); !errors.Is(err, login.ErrNoSession) {
		t.Errorf("after deletion: %v", err)
	}
	if _, err := store.Load("http://127.0.0.1:8642"); err != nil {
		t.Errorf("the other broker's: %v", err)
	}
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no modes there")
	}
	path := filepath.Join(t.TempDir(), "sessions.json")
	store := login.NewStore(path)
	if err := store.Save(t.Context(), "b", login.Session{Token: login.Token{Access: "at-secret"}}); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, path + ".lock"} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %04o, want 0600", filepath.Base(file), got)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load("b"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that a group can read: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"b":{"token":{"access_token":"at-secret"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{loadError(store), store.Save(t.Context(), "b", login.Session{})} {
		if err == nil || strings.Contains(err.Error(), "at-secret") {
			t.Errorf("a broken file: %v", err)
		}
	}
}

func loadError(store *login.Store) error {
	_, err := store.Load("b")
	return err
}

func TestNoSaveIsLostAmongMany(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.json")
	const savers = 8
	var group sync.WaitGroup
	for n := range savers {
		group.Go(func() {
			if err := login.NewStore(path).Save(t.Context(), fmt.Sprintf("b%d", n), login.Session{ClientID: "deed-cli"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for n := range savers {
		if _, err := login.NewStore(path).Load(fmt.Sprintf("b%d", n)); err != nil {
			t.Error(err)
		}
	}
	left, err := filepath.Glob(path + ".*")
	if err != nil || len(left) != 1 {
		t.Errorf("left beside the file: %v, %v", left, err)
	}
}
