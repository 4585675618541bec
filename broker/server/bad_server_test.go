package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// badVariable makes this very program an MCP server over stdio that misbehaves.
const badVariable = "DEED_TEST_BAD_SERVER"

// badServer answers the requests on in, each in the way that the tool's name says. mode says how its
// list of tools misbehaves.
func badServer(in io.Reader, out io.Writer, mode string) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	for lines.Scan() {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Name   string `json:"name"`
				Cursor string `json:"cursor"`
				Meta   struct {
					Token json.RawMessage `json:"progressToken"`
				} `json:"_meta"`
			} `json:"params"`
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil || m.ID == nil {
			continue
		}
		result := func(text string) { say(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, text) }
		switch m.Method {
		case "initialize":
			result(`{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"bad","version":"1"}}`)
		case "tools/list":
			result(badList(mode, m.Params.Cursor))
		case "tools/call":
			badCall(m.Params.Name, string(m.Params.Meta.Token), result, say)
		case "ping":
			result(`{}`)
		default:
			say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"unknown"}}`, m.ID)
		}
	}
}

func badList(mode, cursor string) string {
	switch mode {
	case "loops":
		return fmt.Sprintf(`{"tools":[],"nextCursor":"%sx"}`, cursor)
	case "hoards":
		return `{"tools":[` + strings.Repeat(`{"name":"t","inputSchema":{"type":"object"}},`, 20_000) + `{"name":"u","inputSchema":{"type":"object"}}]}`
	}
	var all []string
	for _, name := range []string{"fine", "crash", "hang", "flood", "big", "garbage", "twice", "other"} {
		all = append(all, `{"name":"`+name+`","inputSchema":{"type":"object"}}`)
	}
	all = append(all, `{"name":"lie","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"sum":{"type":"integer"}},"required":["sum"]}}`)
	return `{"tools":[` + strings.Join(all, ",") + `]}`
}

func badCall(name, token string, result func(string), say func(string, ...any)) {
	const fine = `{"content":[{"type":"text","text":"fine"}]}`
	switch name {
	case "crash":
		os.Exit(3) //nolint:forbidigo // it crashes
	case "hang":
		return
	case "flood":
		for i := range 20_000 {
			say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d,"message":"%s"}}`, token, i, strings.Repeat("x", 500))
			say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`)
			say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		}
	case "lie":
		result(`{"content":[{"type":"text","text":"3"}],"structuredContent":{"sum":"three"}}`)
		return
	case "big":
		result(`{"content":[{"type":"text","text":"` + strings.Repeat("x", 100<<20) + `"}]}`)
		return
	case "garbage":
		say("\x00\xff not JSON \x1b[2J")
		say(`{"jsonrpc":"2.0","id":{"a":[]},"result":1}`)
		say(`[[[[[[`)
		say(`{"jsonrpc":"2.0","id":"nobody-asked","result":{}}`)
	case "twice":
		result(fine)
	case "other":
		say(`{"jsonrpc":"2.0","id":"deed-1","result":{"content":[]}}`)
		time.Sleep(100 * time.Millisecond)
	}
	result(fine)
}
