package ongoing_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/ongoing"
)

const one, two = "0194b7a0-0000-7000-8000-000000000001", "0194b7a0-0000-7000-8000-000000000002"

func TestTasksAreKeptUntilTheyAreForgotten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tasks")
	s := open(t, dir)
	kept := ongoing.Task{Handle: json.RawMessage(`{"id":"t-1"}`), Made: time.Date(2026, 7, 28, 1, 2, 3, 4, time.UTC)}
	for _, id := range []string{one, two} {
		if err := s.Put(id, kept); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Remove(two); err != nil {
		t.Error(err)
	}
	if err := s.Remove(two); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, two+".task.json.new"), []byte(`{"han`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	all, err := s.All()
	if diff := cmp.Diff(map[string]ongoing.Task{one: kept}, all); diff != "" || err != nil {
		t.Errorf("%v; tasks differ (-want +got):\n%s", err, diff)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v: what was half-written is not removed", left, err)
	}
	info, err := os.Stat(filepath.Join(dir, one+".task.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}

func TestADamagedFileHidesNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(one, ongoing.Task{Handle: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, two+".task.json"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := s.All()
	if _, there := all[one]; !there || len(all) != 1 || err == nil || !strings.Contains(err.Error(), two) {
		t.Errorf("tasks %v, error %v", all, err)
	}
}

func TestOnlyCallsHaveTasks(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	if err := s.Put("../"+one, ongoing.Task{Handle: json.RawMessage(`{}`)}); err == nil {
		t.Error("a path was taken for a call")
	}
	if err := s.Put(one, ongoing.Task{Handle: json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`)}); err == nil {
		t.Error("it took more than it reads")
	}
}

func open(t *testing.T, dir string) *ongoing.Store {
	t.Helper()
	s, err := ongoing.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
