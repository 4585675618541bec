package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"github.com/mark3labs/mcp-go/mcp"
)

const maxDiscovery = 1 << 20 // bytes of an answer to server/discover that are looked at

// negotiator mends what mcp-go makes of answers to server/discover, by which it finds out whether a
// server speaks a revision without sessions. It takes any result for a yes, also of a server that
// answers whatever it does not know with an empty one. And it takes a refusal of the revision for a
// no, also where the server says that it speaks that very revision: it is asked again.
type negotiator struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (n negotiator) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := n.base.RoundTrip(r)
	if err != nil || r.Header.Get(mcp.HeaderMethod) != string(mcp.MethodServerDiscover) {
		return response, err
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/json" {
		return response, nil
	}
	head, err := io.ReadAll(io.LimitReader(response.Body, maxDiscovery))
	if err != nil {
		return nil, errors.Join(err, response.Body.Close())
	}
	said := readDiscovery(head)
	switch {
	case response.StatusCode == http.StatusOK && said.knowsNothing():
		response.StatusCode = http.StatusBadRequest
		response.Status = strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode)
		head = []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"the server does not know server/discover"}}`)
	case said.Error.Code == mcp.UNSUPPORTED_PROTOCOL_VERSION && r.GetBody != nil &&
		slices.Contains(said.Error.Data.Supported, r.Header.Get(mcp.HeaderProtocolVersion)):
		_ = response.Body.Close() // it was read
		again := r.Clone(r.Context())
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
		return n.base.RoundTrip(again)
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), response.Body), response.Body}
	response.ContentLength = -1
	return response, nil
}

// discovery is an answer to server/discover, as far as it is looked at.
type discovery struct {
	Result *struct {
		Versions []string `json:"supportedVersions"`
	} `json:"result"`
	Error struct {
		Code int `json:"code"`
		Data struct {
			Supported []string `json:"supported"`
		} `json:"data"`
	} `json:"error"`
}

// readDiscovery reads an answer; what cannot be read says nothing.
func readDiscovery(text []byte) discovery {
	var d discovery
	if json.Unmarshal(text, &d) != nil {
		return discovery{}
	}
	return d
}

// knowsNothing reports whether a result names no revision.
func (d discovery) knowsNothing() bool { return d.Result != nil && len(d.Result.Versions) == 0 }
