package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/mattn/go-isatty"
)

// environment is all that a verb has of the world, and what the global flags said.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	interactive    bool // a person sits at stdin and stderr

	url   string // --url
	token string // --token
	as    string // --as
	json  bool   // --json
}

// defaultURL is where a broker listens when nobody says otherwise.
const defaultURL = "http://127.0.0.1:8642"

func systemEnvironment() *environment {
	return &environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		interactive: isatty.IsTerminal(os.Stdin.Fd()) && isatty.IsTerminal(os.Stderr.Fd()),
	}
}

// brokerURL is the broker's address without a slash at its end. Tokens would cross the network
// in the clear over http, so that it is for loopback only.
func (e *environment) brokerURL() (string, error) {
	text := firstOf(e.url, e.getenv("DEED_URL"), defaultURL)
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return "", withHint(usage("the broker's URL must be http(s)://host[:port] and nothing else"), "set it by --url or DEED_URL")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return "", withHint(usage("the broker's URL must be https: a token would cross the network in the clear"), "http is for this machine's own addresses")
	}
	return strings.TrimSuffix(text, "/"), nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// dataDir is $XDG_DATA_HOME/deed, where Deed keeps what it keeps.
func (e *environment) dataDir() (string, error) {
	if dir := e.getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) { // others are to be ignored, says the XDG specification
		return filepath.Join(dir, "deed"), nil
	}
	home := e.getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", withHint(fmt.Errorf("there is no home directory to keep data in"), "set XDG_DATA_HOME to an absolute path")
	}
	return filepath.Join(home, ".local", "share", "deed"), nil
}

// demoDir is where `deed demo` keeps its data: $DEED_DEMO, if it was told to keep it elsewhere.
func (e *environment) demoDir() (string, error) {
	if dir := e.getenv("DEED_DEMO"); dir != "" {
		return dir, nil
	}
	dir, err := e.dataDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "demo"), nil
}

// secretsName is the file in the demo's directory with which agents get tokens.
const secretsName = "secrets.json"

// sessionsName is the file in the data directory with what `deed login` saved.
const sessionsName = "sessions.json"

// printf writes for people.
func (e *environment) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(e.stdout, format, args...) // whoever reads is gone, and nobody is left to tell
}

// say writes beside the output: prompts, progress, notes.
func (e *environment) say(format string, args ...any) {
	_, _ = fmt.Fprintf(e.stderr, format, args...) // as in printf
}

// printJSON writes a document for programs.
func (e *environment) printJSON(v any) error {
	encoder := json.NewEncoder(e.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// printLine writes a document on one line, for programs that read a stream.
func (e *environment) printLine(v any) error {
	encoder := json.NewEncoder(e.stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// version is that of the module, or the revision that was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "(devel) " + s.Value[:12]
		}
	}
	return "(devel)"
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
