package servers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// client is one of the example clients: a command to put arguments after.
type client []string

func pythonClient(t *testing.T) client {
	t.Helper()
	return client{need.Env(t, need.Python), filepath.Join("..", "clients", "python", "client.py")}
}

// typeScriptClient copies the script beside the SDK's modules, where Node looks for them.
func typeScriptClient(t *testing.T) client {
	t.Helper()
	node, modules := need.Env(t, need.Node), need.Env(t, need.TypeScriptSDK)
	dir := t.TempDir()
	for _, name := range []string{"client.ts", "package.json"} {
		text, err := os.ReadFile(filepath.Join("..", "clients", "typescript", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return client{node, filepath.Join(dir, "client.ts")}
}

// said is what a client printed, and how it ended.
type said struct {
	out, err string
	code     int
}

// answer is what came of a call, as the client printed it.
type answer struct {
	code       int
	IsError    bool           `json:"isError"`
	Content    []content      `json:"content"`
	Structured map[string]any `json:"structured"`
}

// content is a block of any type.
type content struct {
	Type string `json:"type"`
	Text string `json:"text"`
	Data string `json:"data"` // of an image, in base64
}

func (a answer) text() string {
	if len(a.Content) == 0 {
		return ""
	}
	return a.Content[0].Text
}

// run runs the client, and returns what the process printed.
func (c client) run(ctx context.Context, d *deed, token string, args ...string) (said, error) {
	cmd := exec.CommandContext(ctx, c[0], append(c[1:len(c):len(c)], args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "DEED_URL="+d.url, "DEED_TOKEN="+token)
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return said{}, err
	}
	return said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}, nil
}

// list returns the schemas of the tools that the client is shown, by name.
func (c client) list(t *testing.T, d *deed, token string, args ...string) map[string]json.RawMessage {
	t.Helper()
	got, err := c.run(t.Context(), d, token, append(args, "list")...)
	if err != nil || got.code != 0 {
		t.Fatalf("list: %v, exit code %d: %s", err, got.code, got.err)
	}
	tools := map[string]json.RawMessage{}
	for line := range strings.Lines(got.out) {
		var tool struct {
			Name        string          `json:"name"`
			InputSchema json.RawMessage `json:"inputSchema"`
		}
		if err := json.Unmarshal([]byte(line), &tool); err != nil {
			t.Fatal(err)
		}
		tools[tool.Name] = tool.InputSchema
	}
	return tools
}

// call calls a tool. The client must print an answer, error or not.
func (c client) call(t *testing.T, d *deed, token, tool string, args map[string]any) answer {
	t.Helper()
	a, err := c.tryCall(t.Context(), d, token, tool, args)
	if err != nil {
		t.Fatalf("call %s: %v\n%s", tool, err, d.log)
	}
	return a
}

func (c client) tryCall(ctx context.Context, d *deed, token, tool string, args map[string]any) (answer, error) {
	text, err := json.Marshal(args)
	if err != nil {
		return answer{}, err
	}
	got, err := c.run(ctx, d, token, "call", tool, string(text))
	if err != nil {
		return answer{}, err
	}
	a := answer{code: got.code}
	if err := json.Unmarshal([]byte(got.out), &a); err != nil {
		return answer{}, errors.Join(err, errors.New(got.out+got.err))
	}
	return a, nil
}

// shown is how a call looks in the test's log.
func shown(tool string, args map[string]any, a answer) string {
	text, err := json.Marshal(args)
	if err != nil {
		return err.Error()
	}
	return tool + " " + string(text) + "\n" + a.text()
}

// started is what came of a call that another goroutine made.
type started struct {
	answer answer
	err    error
}

// start calls a tool while the test goes on. The client ends with the test.
func (c client) start(t *testing.T, d *deed, token, tool string, args map[string]any) <-chan started {
	t.Helper()
	done, ended := make(chan started, 1), make(chan struct{})
	go func() {
		defer close(ended)
		a, err := c.tryCall(t.Context(), d, token, tool, args)
		done <- started{a, err}
	}()
	t.Cleanup(func() { <-ended })
	return done
}
