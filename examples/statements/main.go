// Command statements reads events, one JSON document a line, and verifies who each says
// that it was, with a JWK set alone.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/statement"
)

func main() {
	act := flag.String("act", "", "also check that statements may be acted on now, in the trust domain of this `tenant`")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, flag.Arg(0), *act); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

var errFound = errors.New("some statements do not hold")

func run(events io.Reader, out io.Writer, keysFile, tenant string) error {
	text, err := os.ReadFile(keysFile) //nolint:gosec // the user's own
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	var set statement.JWKSet
	if err := json.Unmarshal(text, &set); err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	keys, bad := statement.KeysOf(set), false
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, audit.MaxEventBytes+1)
	for lines.Scan() {
		e, err := audit.ParseEvent(lines.Bytes())
		if err != nil {
			return err
		}
		if e.Statement == "" { // of no call, or older than statements are
			continue
		}
		who, err := check(keys, e, tenant)
		if err != nil {
			bad, who = true, "DOES NOT HOLD: "+err.Error()
		}
		_, _ = fmt.Fprintf(out, "%s %s: %s\n", e.Subject, strings.TrimPrefix(string(e.Type), "dev.deed.call."), who) // whoever reads is gone
	}
	if bad {
		return errFound
	}
	return lines.Err()
}

// check says who makes the call that an event is of.
func check(keys statement.Keys, e audit.Event, tenant string) (string, error) {
	c, _, err := keys.Open(e.Statement)
	if err != nil {
		return "", err
	}
	if c.Call != e.Subject || c.Issuer != statement.Domain(e.Tenant) {
		return "", fmt.Errorf("it is of call %s in %s", c.Call, c.Issuer)
	}
	if tenant != "" {
		if err := c.Current(tenant, time.Now()); err != nil {
			return "", err
		}
	}
	actors := strings.Join(c.Chain(), " for ")
	if actors == "" {
		actors = "themselves"
	}
	who := fmt.Sprintf("%s for %s calls %s", actors, c.Subject, c.Tool)
	if c.Context.Editor != "" {
		who += ", as edited by " + c.Context.Editor
	}
	return who, nil
}
