package openapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/web"
)

const (
	maxError     = 16 << 10 // bytes of an error's body that its caller is shown
	resultMember = "result" // has an answer that is no object, in structured content
)

var errAnswer = errors.New("the service's answer broke off")

// output is the output schema of the answers of success, if they all are JSON of one schema;
// wraps tells whether they are wrapped into an object.
func output(doc *openapi3.T, responses *openapi3.Responses) (schema any, wraps bool) {
	in := newSchemas(doc, "writeOnly")
	var only any
	for _, status := range slices.Sorted(maps.Keys(responses.Map())) {
		if !strings.HasPrefix(status, "2") {
			continue
		}
		r := responses.Map()[status]
		if only != nil || r == nil || r.Value == nil || len(r.Value.Content) != 1 {
			return nil, false
		}
		for kind, media := range r.Value.Content {
			if !isJSON(kind) || media == nil || media.Schema == nil {
				return nil, false
			}
			var err error
			if only, err = in.of(media.Schema); err != nil {
				return nil, false
			}
		}
	}
	if only == nil {
		return nil, false
	}
	if object := in.inlined(only); object["type"] == "object" {
		return in.within(object), false
	}
	return in.within(map[string]any{
		"type": "object", "properties": map[string]any{resultMember: only}, "required": []any{resultMember},
	}), true
}

type result struct {
	Content    []any           `json:"content"`
	Structured json.RawMessage `json:"structuredContent,omitempty"`
	IsError    bool            `json:"isError,omitempty"`
}

type textContent struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type mediaContent struct {
	Type string `json:"type"` // image or audio
	Data string `json:"data"`
	Mime string `json:"mimeType"`
}

type resourceContent struct {
	Type     string `json:"type"`
	Resource blob   `json:"resource"`
}

type blob struct {
	URI  string `json:"uri"`
	Mime string `json:"mimeType"`
	Blob string `json:"blob"`
}

// answer turns a response into what the tool says.
func (o *operation) answer(ctx context.Context, r *http.Response, most int) (tools.Answer, error) {
	if o.uncertain(r.StatusCode) {
		return tools.Answer{}, fmt.Errorf("%w: it answered with HTTP status %d", tools.ErrUncertain, r.StatusCode)
	}
	good := r.StatusCode >= 200 && r.StatusCode < 300
	limit := most
	if !good {
		limit = min(most, maxError)
	}
	said, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	switch {
	case err != nil && good && context.Cause(ctx) != nil:
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
	case err != nil && good:
		return tools.Answer{}, fmt.Errorf("%w: %w: %w", tools.ErrUncertain, errAnswer, web.Plain(err))
	case !good:
		return o.refusal(r, said[:min(len(said), limit)]), nil
	case len(said) > limit:
		return o.tooLarge(r, limit), nil
	default:
		return o.success(r, said), nil
	}
}

// uncertain reports whether a status of a gateway leaves open what the service did.
func (o *operation) uncertain(status int) bool {
	return !hints(o.method).ReadOnly && (status == http.StatusBadGateway || status == http.StatusGatewayTimeout)
}

func (o *operation) success(r *http.Response, said []byte) tools.Answer {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // none if it is malformed
	made := result{Content: []any{o.shown(kind, r, said)}}
	if isJSON(kind) && json.Valid(said) {
		switch {
		case o.wraps:
			made.Structured = slices.Concat([]byte(`{"`+resultMember+`":`), said, []byte("}"))
		case bytes.HasPrefix(bytes.TrimSpace(said), []byte("{")):
			made.Structured = said
		}
	}
	return encoded(made)
}

// shown is the body as content that models can take.
func (o *operation) shown(kind string, r *http.Response, said []byte) any {
	family, _, _ := strings.Cut(kind, "/")
	data := func() string { return base64.StdEncoding.EncodeToString(said) }
	switch {
	case len(said) == 0:
		return textContent{"text", fmt.Sprintf("HTTP %d %s", r.StatusCode, http.StatusText(r.StatusCode))}
	case family == "image" || family == "audio":
		return mediaContent{family, data(), kind}
	case utf8.Valid(said):
		return textContent{"text", string(said)}
	default:
		return resourceContent{"resource", blob{"deed:answer", kind, data()}}
	}
}

// tooLarge says what is known of an answer that is not given: reading failed, or what was asked for is done.
func (o *operation) tooLarge(r *http.Response, limit int) tools.Answer {
	if hints(o.method).ReadOnly {
		return encoded(result{IsError: true, Content: []any{textContent{"text", fmt.Sprintf("the answer is larger than %d bytes; ask for less", limit)}}})
	}
	text := fmt.Sprintf("done (HTTP %d %s), but the answer is larger than %d bytes and not given; do not repeat the call", r.StatusCode, http.StatusText(r.StatusCode), limit)
	return encoded(result{Content: []any{textContent{"text", text}}})
}

// problem is RFC 9457, and what other services say in its place.
type problem struct {
	Title  string `json:"title"`
	Detail any    `json:"detail"`
}

// refusal is an answer that is no success.
func (o *operation) refusal(r *http.Response, said []byte) tools.Answer {
	text := fmt.Sprintf("HTTP %d %s", r.StatusCode, http.StatusText(r.StatusCode))
	var p problem
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // none if it is malformed
	if isJSON(kind) && json.Unmarshal(said, &p) == nil {
		if detail, plain := p.Detail.(string); plain && p.Title != detail {
			text += ": " + strings.Trim(p.Title+": "+detail, ": ")
		} else if p.Title != "" {
			text += ": " + p.Title
		}
	}
	if wait := r.Header.Get("Retry-After"); wait != "" && len(wait) < 64 {
		text += "; call again after " + wait + unit(wait)
	}
	switch {
	case r.StatusCode >= 300 && r.StatusCode < 400:
		text += "; redirects that lead elsewhere are not followed"
	case r.StatusCode == http.StatusUnauthorized:
		text += "; the service did not take the broker's credentials"
	}
	made := result{IsError: true, Content: []any{textContent{"text", text}}}
	if len(said) > 0 && utf8.Valid(said) {
		made.Content = append(made.Content, textContent{"text", string(said)})
	}
	return encoded(made)
}

// unit is what Retry-After counts in, where it counts.
func unit(wait string) string {
	if strings.ContainsFunc(wait, func(r rune) bool { return r < '0' || '9' < r }) {
		return ""
	}
	return " seconds"
}

func encoded(r result) tools.Answer {
	raw, _ := json.Marshal(r) // strings and valid JSON always marshal
	return tools.Answer{Raw: raw, IsError: r.IsError}
}
