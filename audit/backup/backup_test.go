package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/backup"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
)

// childFrom has this binary make backups until it is killed.
const childFrom, childTo = "DEED_BACKUP_TEST_FROM", "DEED_BACKUP_TEST_TO"

func TestMain(m *testing.M) {
	from := os.Getenv(childFrom)
	if from == "" {
		m.Run()
		return
	}
	_, _ = os.Stdout.WriteString("begun") // the parent reads it or is gone
	for n := 0; ; n++ {
		o := backup.Options{Log: from, Keys: from, To: filepath.Join(os.Getenv(childTo), fmt.Sprint(n))}
		if _, err := backup.Make(context.Background(), o); err != nil {
			panic(err)
		}
	}
}

// live is a log that is written and sealed until the test ends.
func live(t *testing.T) (dir string, l *embedded.Log) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	l, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.LoadOrCreateKey(filepath.Join(dir, backup.PrivateKey), audittest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, backup.PublicKey), []byte(key.Verifier().String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	started := audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: key.Verifier().String()})
	started.Domain, started.Topic = audit.OwnDomain, audit.TopicControl
	if _, err := l.Append(t.Context(), started); err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: key, Tenant: audittest.Tenant, Source: audittest.Source, Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context()) // what runs is ended in order
	sealing, endSealing := context.WithCancel(ctx)
	writing, endWriting := context.WithCancel(ctx)
	var writers, sealers sync.WaitGroup
	sealers.Go(func() {
		if err := sealer.Run(sealing); err != nil {
			t.Errorf("seal: %v", err)
		}
	})
	for range 4 {
		writers.Go(func() {
			for writing.Err() == nil {
				id := audittest.NewID()
				_, err := l.Append(ctx, audittest.Intent(id, `{"amount":1}`))
				if err == nil {
					_, err = l.Append(ctx, audittest.Result(id, `{"ok":true}`))
				}
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				time.Sleep(time.Millisecond) // a load, not a flood
			}
		})
	}
	t.Cleanup(func() {
		endWriting()
		writers.Wait()
		endSealing()
		sealers.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir, l
}

func TestABackupOfARunningLogGoesBack(t *testing.T) {
	t.Parallel()
	dir, _ := live(t)
	for _, name := range []string{"backup", "backup.tar.zst"} {
		to := filepath.Join(t.TempDir(), name)
		made, err := backup.Make(t.Context(), backup.Options{Log: dir, Keys: dir, To: to, Private: true})
		if err != nil || !made.Report.OK() || made.Report.Records == 0 {
			t.Fatalf("%s: %+v, %v", name, made.Report, err)
		}
		if _, err := backup.Make(t.Context(), backup.Options{Log: dir, Keys: dir, To: to}); err == nil {
			t.Error("a backup was overwritten")
		}
		data := filepath.Join(t.TempDir(), "restored")
		back, err := backup.Restore(t.Context(), to, data, nil)
		if err != nil || back.Report.Records != made.Report.Records || !back.Manifest.Keys {
			t.Fatalf("restore %s: %+v, %v", name, back.Report, err)
		}
		for _, file := range []string{embedded.FileName, backup.PrivateKey} {
			if info, err := os.Stat(filepath.Join(data, file)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info, err)
			}
		}
		if _, err := backup.Restore(t.Context(), to, data, nil); err == nil || !strings.Contains(err.Error(), "a backup goes only where") {
			t.Errorf("restoring over a live directory: %v", err)
		}
		again, err := embedded.Open(t.Context(), data, embedded.Options{ReserveBytes: 1 << 20}) // a broker can go on
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Append(t.Context(), audittest.Intent(audittest.NewID(), `{}`)); err != nil {
			t.Error(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestABackupThatWasChangedIsNotRestored(t *testing.T) {
	t.Parallel()
	dir, _ := live(t)
	to, data := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restored")
	if _, err := backup.Make(t.Context(), backup.Options{Log: dir, Keys: dir, To: to}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(to, embedded.FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.ReplaceAll(text, []byte(`"application/json"`), []byte(`"application/jsom"`)) // the first may be what a page had before it was split
	if bytes.Equal(changed, text) {
		t.Fatal("there is no record")
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := backup.Restore(t.Context(), to, data, nil)
	if !errors.Is(err, backup.ErrFindings) || made.Report.OK() {
		t.Errorf("restore: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, embedded.FileName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log was put there: %v", err)
	}
}

// A backup that is killed leaves none, and is no trouble to the next.
func TestAKilledBackupIsNone(t *testing.T) {
	t.Parallel()
	dir, _ := live(t)
	to := t.TempDir()
	for range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childFrom+"="+dir, childTo+"="+to)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.After(20 * time.Second); ; { // in the middle of one
			if left, _ := filepath.Glob(filepath.Join(to, "*.partial", "*.db*")); len(left) > 0 {
				break
			}
			select {
			case <-deadline:
				t.Fatal("it makes no backup")
			default:
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		whole, err := filepath.Glob(filepath.Join(to, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range whole {
			_, err := backup.Restore(t.Context(), one, filepath.Join(t.TempDir(), "restored"), nil)
			if cut := strings.HasSuffix(one, ".partial"); cut != (err != nil) {
				t.Errorf("%s: %v", one, err)
			}
			if err := os.RemoveAll(one); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := backup.Make(t.Context(), backup.Options{Log: dir, Keys: dir, To: filepath.Join(to, "0")}); err != nil {
		t.Error(err)
	}
}
