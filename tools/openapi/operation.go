package openapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/deedbroker/deed/tools"
)

const (
	maxName        = 48 // of a tool, so that it has room for its upstream's
	nameDigest     = 6  // hex digits behind names that would be alike
	maxDescription = 16 << 10
)

// operation is one operation of a document: how its tool is described, and how arguments
// become a request.
type operation struct {
	method, path string
	parameters   []parameter
	body         *body  // nil for none
	keyHeader    string // that takes an idempotency key; empty for none
	wraps        bool   // its output schema has the answer as result

	definition tools.Definition
}

// definition is an MCP Tool.
type definition struct {
	Name        string      `json:"name"`
	Title       string      `json:"title,omitempty"`
	Description string      `json:"description,omitempty"`
	Input       any         `json:"inputSchema"`
	Output      any         `json:"outputSchema,omitempty"`
	Annotations annotations `json:"annotations"`
	Meta        meta        `json:"_meta"`
}

type annotations struct {
	ReadOnly    bool  `json:"readOnlyHint"`
	Destructive *bool `json:"destructiveHint,omitempty"`
	Idempotent  bool  `json:"idempotentHint,omitempty"`
}

// meta binds a definition to the requests that are made by it.
type meta struct {
	Request plan `json:"dev.deed/request"`
}

type plan struct {
	Method     string      `json:"method"`
	Path       string      `json:"path"`
	Parameters []parameter `json:"parameters,omitempty"`
	Body       *body       `json:"body,omitempty"`
	KeyHeader  string      `json:"idempotencyKey,omitempty"`
}

// operations are those of a document that were selected and can be used.
func (u *Upstream) operations(ctx context.Context, doc *openapi3.T) (map[string]*operation, error) {
	var chosen []candidate
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			if u.cfg.Operations.selects(subject{o.OperationID, method, path, o.Tags}) {
				chosen = append(chosen, candidate{method, path, item, o})
			}
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("none of its operations is selected")
	}
	if len(chosen) > tools.MaxTools {
		return nil, fmt.Errorf("%d of its operations are selected, more than %d; select fewer", len(chosen), tools.MaxTools)
	}
	slices.SortFunc(chosen, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method)) })
	names := names(chosen)
	all := make(map[string]*operation, len(chosen))
	for i, c := range chosen {
		o, err := u.operation(doc, c, names[i])
		if err != nil {
			u.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "operation left out",
				slog.String("operation", c.method+" "+c.path), slog.Any("error", err))
			continue
		}
		all[names[i]] = o
	}
	return all, nil
}

type candidate struct {
	method, path string
	item         *openapi3.PathItem
	*openapi3.Operation
}

// names gives each operation a name that models take, and none that of another.
func names(chosen []candidate) []string {
	all := make([]string, len(chosen))
	count := map[string]int{}
	for i, c := range chosen {
		all[i] = safe(cmp.Or(c.OperationID, strings.ToLower(c.method)+c.path))
		count[alike(all[i])]++
	}
	for i, c := range chosen {
		if len(all[i]) > maxName || count[alike(all[i])] > 1 {
			sum := sha256.Sum256([]byte(c.method + " " + c.path))
			all[i] = strings.TrimRight(all[i][:min(len(all[i]), maxName-nameDigest-1)], "_") + "_" + hex.EncodeToString(sum[:])[:nameDigest]
		}
	}
	return all
}

// safe is text with what models do not take in names replaced.
func safe(text string) string {
	mapped := strings.Map(func(r rune) rune {
		if strange(r) {
			return '_'
		}
		return r
	}, text)
	for strings.Contains(mapped, "___") {
		mapped = strings.ReplaceAll(mapped, "___", "__")
	}
	return cmp.Or(strings.Trim(mapped, "_"), "operation")
}

// strange reports whether models do not take a character in names.
func strange(r rune) bool {
	return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && r != '-' && r != '_'
}

func alike(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// operation reads one operation. The error says why it cannot be offered.
func (u *Upstream) operation(doc *openapi3.T, c candidate, name string) (*operation, error) {
	if c.Servers != nil && len(*c.Servers) > 0 || len(c.item.Servers) > 0 {
		return nil, errors.New("it has a server of its own")
	}
	if c.method == http.MethodConnect || c.method == http.MethodTrace {
		return nil, errors.New("its method is not for services")
	}
	o := &operation{method: c.method, path: c.path}
	in := newInput(doc)
	if err := in.parameters(o, c, u.owned()); err != nil {
		return nil, err
	}
	if err := in.body(o, c.RequestBody); err != nil {
		return nil, err
	}
	d := definition{
		Name: name, Title: c.Summary, Description: describe(c), Input: in.schema(), Annotations: hints(c.method),
		Meta: meta{plan{o.method, o.path, o.parameters, o.body, o.keyHeader}},
	}
	d.Output, o.wraps = output(doc, c.Responses)
	raw, err := json.Marshal(d)
	if err == nil && len(raw) > tools.MaxDefinition { // what it answers is the smaller loss
		d.Output, o.wraps = nil, false
		raw, err = json.Marshal(d)
	}
	if err == nil {
		o.definition, err = tools.ParseDefinition(raw)
	}
	return o, err
}

// owned are the names of headers that the broker sets itself.
func (u *Upstream) owned() []string {
	return append(slices.Collect(maps.Keys(u.cfg.Headers)), u.cfg.CredentialHeader)
}

func describe(c candidate) string {
	text := cmp.Or(c.Description, c.Summary)
	if c.Deprecated {
		text = "Deprecated. " + text
	}
	if len(text) > maxDescription {
		text = strings.ToValidUTF8(text[:maxDescription], "") + "…"
	}
	return strings.TrimSpace(text + "\n\n" + c.method + " " + c.path)
}

// hints are what a method says of an operation (RFC 9110, section 9.2).
func hints(method string) annotations {
	yes, no := true, false
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, "QUERY":
		return annotations{ReadOnly: true, Destructive: &no, Idempotent: true}
	case http.MethodDelete:
		return annotations{Destructive: &yes, Idempotent: true}
	case http.MethodPut:
		return annotations{Destructive: &yes, Idempotent: true}
	default:
		return annotations{}
	}
}
