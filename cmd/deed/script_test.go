package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"deed": main}) }

var update = flag.Bool("update", false, "rewrite the expected outputs")

// TestScripts runs each verb as users do. $DEED_URL is a broker that answers as the API
// says, $DATA a sealed history, and XDG_DATA_HOME has the secrets of a running demo.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: *update,
		Setup: func(e *testscript.Env) error { return prepare(t.Context(), e) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": checkCode, "flip": flipBit,
		},
	})
}

// checkCode is `code N command...`: the command ends with the exit code N.
func checkCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code N command...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		var exited interface{ ExitCode() int }
		if !errors.As(err, &exited) {
			ts.Fatalf("%v", err)
		}
		text, err := json.Marshal(exited.ExitCode())
		ts.Check(err)
		got = string(text)
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// flipBit is `flip FILE TEXT`: one bit of TEXT in FILE is flipped.
func flipBit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE TEXT")
	}
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	at := strings.Index(string(content), args[1])
	if at < 0 {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	content[at] ^= 1
	ts.Check(os.WriteFile(path, content, 0o600))
}

// prepare gives a script its broker, its demo issuer and its history.
func prepare(ctx context.Context, e *testscript.Env) error {
	ctx, stop := context.WithCancel(ctx)
	broker := newFakeBroker()
	resource := broker.server.URL + "/mcp"
	issuer, err := demo.Start(ctx, demo.Config{URL: "http://127.0.0.1:0/demo", Resources: []string{resource}})
	if err != nil {
		stop()
		return err
	}
	broker.issuer = issuer.URL()
	e.Defer(func() {
		broker.server.Close()
		stop()
		if err := issuer.Wait(); err != nil {
			e.T().Log("demo issuer: ", err)
		}
	})
	share := filepath.Join(e.WorkDir, "share")
	if err := demo.SaveSecrets(filepath.Join(share, "deed", "demo", secretsName), issuer.Secrets()); err != nil {
		return err
	}
	key, err := writeHistory(ctx, filepath.Join(e.WorkDir, "data"))
	if err != nil {
		return err
	}
	e.Setenv("XDG_DATA_HOME", share)
	e.Setenv("DEED_URL", broker.server.URL)
	e.Setenv("DATA", filepath.Join(e.WorkDir, "data"))
	e.Setenv("KEY", key)
	e.Setenv("HELD", heldID)
	e.Setenv("CLOSED", closedID)
	e.Setenv("DIGEST", heldDigest)
	e.Setenv("TZ", "UTC")
	return nil
}

// writeHistory writes and seals a history in dir: a pinned tool and two calls. It
// returns the verifier key.
func writeHistory(ctx context.Context, dir string) (string, error) {
	key, err := seal.CreateKey(filepath.Join(dir, "keys", "log.key"), audittest.Tenant)
	if err != nil {
		return "", err
	}
	l, err := embedded.Open(ctx, dir, embedded.Options{})
	if err != nil {
		return "", err
	}
	definition := audit.NewPayload(audit.PayloadDefinition, []byte(`{"name":"refund","inputSchema":{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}}`))
	digest := sha256.Sum256(definition.Body)
	events := []audit.Event{
		audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: key.Verifier().String()}),
		audittest.NewEvent(audit.ToolPinned, "", audit.Pin{Tool: audittest.Tool, Definition: hex.EncodeToString(digest[:]), Text: definition.Commitment()}, definition),
	}
	for _, text := range []string{"the-first-answer", "the-second-answer"} {
		id := audittest.NewID()
		events = append(events, audittest.Intent(id, `{"amount":7}`), audittest.Result(id, `{"text":"`+text+`"}`))
	}
	for _, e := range events {
		if _, err := l.Append(ctx, e); err != nil {
			return "", errors.Join(err, l.Close())
		}
	}
	sealer, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: key, Tenant: audittest.Tenant, Source: audittest.Source})
	if err == nil {
		err = sealer.Seal(ctx)
	}
	return key.Verifier().String(), errors.Join(err, l.Close())
}
