package httpapi

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit/statement"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// operation says of a route what its handler does not: the words, the parameters and
// the types. The document is made from these, the routes and the Go types.
type operation struct {
	summary string
	query   []parameter
	body    any
	answer  any    // an any of a Go type; nil for what media says
	media   string // application/json unless set
	open    bool   // needs no credentials
	status  string // 200 unless set
	list    any    // the alternative answer
}

type parameter struct{ name, kind, about string }

var (
	limitAndCursor = []parameter{
		{"limit", "integer", "items on a page: 50 unless given, at most 500"},
		{"cursor", "string", "the next of the page before"},
	}
	filters = append([]parameter{
		{"state", "string", "running, held, released or closed; held calls are answered by the broker itself, each with what is decided on, and not filtered by outcome, code, approver, q or trace"},
		{"agent", "string", "anywhere in the chain"},
		{"person", "string", "on whose behalf; one's own name finds one's own calls in every domain"},
		{"tool", "string", "upstream.tool, upstream. for all of an upstream, or a prefix that ends in *"},
		{"domain", "string", "one of those that the viewer may read"},
		{"outcome", "string", "result, failed, denied, expired, cancelled or unknown"},
		{"code", "string", "a single code of an outcome, such as policy or timeout"},
		{"policy", "string", "the id of a policy that determined a decision"},
		{"approver", "string", "who voted on it, or settled it"},
		{"since", "string", "opened at or after this time (RFC 3339)"},
		{"until", "string", "opened before this time (RFC 3339)"},
		{"q", "string", "all of these words; one that ends in * is a prefix"},
		{"trace", "string", "a trace id (W3C Trace Context)"},
		{"session", "string", "a session at the identity provider"},
		{"arg", "string", "arguments, name=value or /json/pointer=value, one a line"},
		{"export", "string", "the format that the calls are written out in for another system; that they are goes on record"},
	}, limitAndCursor...)
)

var operations = map[string]operation{
	"GET /v1/whoami": {summary: "Who the credentials stand for", answer: WhoAmI{}},
	"GET /v1/overview": {summary: "What happened lately in the domains that the viewer may read, as a whole and step by step, and how the log fares", query: []parameter{
		{"window", "string", "1h, 6h, 24h (unless given), 7d or 30d"}, {"domain", "string", "only this one"},
	}, answer: Overview{}},
	"GET /v1/calls":                      {summary: "Calls that the viewer may read, the last opened first; a page can be shorter than asked for while next is there", query: filters, answer: List[CallSummary]{}, list: List[HeldCall]{}},
	"GET /v1/calls/{id}":                 {summary: "All of a call that the viewer may read; what is withheld is said", query: []parameter{{"tier", "string", "how much at most: metadata, arguments or results, which is all and the default. Seeing what others' calls were made with, or answered, goes on record"}}, answer: CallDetail{}},
	"DELETE /v1/calls/{id}":              {summary: "Withdraw a held call of one's own", query: []parameter{{"reason", "string", "why"}}, answer: CallDetail{}},
	"POST /v1/calls/{id}/approvals":      {summary: "Approve or deny a held call, or approve it with other arguments; only people can", body: Approval{}, answer: CallDetail{}},
	"GET /v1/tools/{name}/definition":    {summary: "A tool's definition, beside the one that was trusted before", answer: Definition{}},
	"POST /v1/tools/{name}/definition":   {summary: "Trust a tool's definition, which the viewer has reviewed", body: DefinitionReview{}, answer: Definition{}},
	"POST /v1/calls/{id}/dry-run":        {summary: "What a held call would change, by the dry run that is configured for its tool; only for people who may decide on it, and recorded before the upstream is asked", body: DryRun{}, answer: Forecast{}},
	"POST /v1/calls/{id}/reconciliation": {summary: "Record what a person found out about a call that ended as unknown", body: Finding{}, answer: CallDetail{}},
	"GET /v1/grants":                     {summary: "Approvals given in advance that the viewer made, or whose calls they may read", query: limitAndCursor, answer: List[Grant]{}},
	"POST /v1/grants":                    {summary: "Approve a held call, and so many like it in advance; only people can", body: GrantRequest{}, answer: Grant{}, status: "201"},
	"POST /v1/grant-preview":             {summary: "What a grant would have covered of the last 30 days", body: GrantRequest{}, answer: GrantPreview{}},
	"DELETE /v1/grants/{id}":             {summary: "Take a grant back", query: []parameter{{"reason", "string", "why"}}, answer: Grant{}},
	"GET /v1/push":                       {summary: "The key that browsers subscribe to, to be told of calls that wait for the viewer (Web Push)", answer: PushState{}},
	"POST /v1/push":                      {summary: "Take or renew a subscription of the viewer's browser; only people can", body: PushSubscription{}, answer: PushState{}},
	"DELETE /v1/push":                    {summary: "Forget a subscription of the viewer's", body: PushEndpoint{}, answer: PushState{}},
	"GET /v1/agents":                     {summary: "Agents seen in the domains that the viewer may read", query: limitAndCursor, answer: List[Agent]{}},
	"GET /v1/revocations":                {summary: "Who is stopped: all for readers of the broker's own domain, else what the viewer may revoke", query: limitAndCursor, answer: List[Revocation]{}},
	"POST /v1/erasure-preview":           {summary: "What an erasure would erase, and what a legal hold would keep", body: NewErasure{}, answer: Erasure{}},
	"POST /v1/erasures":                  {summary: "Erase the arguments and results of calls, on record; only people can. Long lists go on with the cursor of the answer", body: NewErasure{}, answer: Erasure{}},
	"GET /v1/legal-holds":                {summary: "Legal holds in force: all for readers of the broker's own domain, else what the viewer may place", query: limitAndCursor, answer: List[LegalHold]{}},
	"POST /v1/legal-holds":               {summary: "Keep calls from retention and erasure; only people can", body: NewLegalHold{}, answer: LegalHold{}},
	"DELETE /v1/legal-holds/{id}":        {summary: "Lift a legal hold", query: []parameter{{"reason", "string", "why"}}, answer: Lifted{}},
	"POST /v1/revocations":               {summary: "Stop an agent, a principal, a token, a session, a chain or a key, at every replica; only people can", body: NewRevocation{}, answer: Revocation{}},
	"DELETE /v1/revocations/{id}":        {summary: "Lift a revocation; only people can", query: []parameter{{"reason", "string", "why"}}, answer: Lifted{}},
	"GET /v1/tools":                      {summary: "Tools that the viewer could call, or whose domain they may read", query: limitAndCursor, answer: List[Tool]{}},
	"GET /v1/upstreams":                  {summary: "How the upstreams fare that have a tool which the viewer could call, or whose domain they may read", query: limitAndCursor, answer: List[Upstream]{}},
	"GET /v1/policy":                     {summary: "The policies in force", answer: Policy{}},
	"POST /v1/policy/try":                {summary: "What the policies in force, or a draft of them, say of a call that nobody makes", body: Trial{}, answer: TrialVerdict{}},
	"POST /v1/policy/replay":             {summary: "What a draft of the policies would have done to the last calls", body: ReplayRequest{}, answer: Replay{}},
	"GET /v1/keys":                       {summary: "The key that signs checkpoints, and the rotations that led to it", answer: Keys{}},
	"POST /v1/keys/rotations":            {summary: "Give the key that signs checkpoints its successor; only people can, whom policy permits rotate on the broker's own domain", body: NewKeyRotation{}, answer: Keys{}},
	"GET /v1/evidence": {
		summary: "A pack of evidence (ZIP) that verifies anywhere, of the domains that the viewer may read as a whole; it is on record. One is made at a time, and what goes wrong breaks the connection off",
		query: []parameter{
			{"framework", "string", "with controls, figures, policies and access review for soc2, iso27001, eu-ai-act, nist-800-53 or owasp-agentic; of all domains"},
			{"domains", "string", "names with commas between them; all unless given"},
			{"since", "string", "RFC 3339"},
			{"until", "string", "RFC 3339"},
			{"tier", "string", "metadata, or results: with arguments and results, for those who may read all of them"},
		}, media: mediaZIP,
	},
	"GET /v1/checkpoint":      {summary: "The last signed checkpoint of a log, or without one of all logs", query: []parameter{{"log", "string", "such as payments/calls"}}, answer: Checkpoint{}, list: List[Checkpoint]{}},
	"GET /v1/proof/inclusion": {summary: "Proof that a record is in its log (RFC 6962)", query: []parameter{{"position", "string", "such as payments/calls@17"}}, answer: Inclusion{}},
	"GET /v1/proof/consistency": {summary: "Proof that a log only grew (RFC 6962)", query: []parameter{
		{"log", "string", "such as payments/calls"}, {"from", "integer", "the earlier size"}, {"to", "integer", "the later size; that of the last checkpoint unless given"},
	}, answer: Consistency{}},
	"GET /v1/logs/{domain}/{topic}/{path...}": {summary: "A log's checkpoint and tiles as in C2SP tlog-tiles, for monitors: checkpoint, tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>]", media: mediaTile},
	"GET /v1/openapi.json":                    {summary: "This document", open: true, media: mediaJSON},
	"GET /v1/stream": {summary: "WebSocket of records as they are stored. The server sends text frames: hello {viewer, cursor, live, status}, record {cursor, position, event}, " +
		"caught_up {cursor} once everything before the connection has been sent, cursor {cursor} while records are withheld, with batch=1 records {cursor, records} of several at once, compressed if the client can (permessage-deflate), and every 20 s status {status: {replica, behind_records, behind_seconds, log_available}}. It closes with 4000 too slow: resume from your cursor, 4001 token expired: log in again, 4002 bad cursor, or 1001 going away. " +
		"A cookie needs an Origin of the console's own", query: []parameter{{"cursor", "string", "resume after it; start for the beginning; without one from the live end"}, {"batch", "integer", "1: records that come together come in one frame"}}, status: "101"},
	"GET /.well-known/jwks.json": {summary: "The public keys that sign the statement of who in each event of a call (RFC 7517)", open: true, answer: statement.JWKSet{}},
	"GET /healthz":               {summary: "200 while the process is alive", open: true, media: "text/plain"},
	"GET /readyz":                {summary: "Whether requests should come here: 200, or 503 and why not", open: true, answer: Readiness{}},
	"GET /metrics":               {summary: "Metrics in Prometheus' format", open: true, media: "text/plain"},
}

// TestTheDocumentDescribesTheAPI makes the document from routes and types and compares.
func TestTheDocumentDescribesTheAPI(t *testing.T) {
	t.Parallel()
	d := document{schemas: map[string]any{}}
	paths := map[string]any{}
	for _, r := range (&api{cfg: Config{Stream: http.NotFoundHandler(), Metrics: http.NotFoundHandler()}}).routes() {
		o, ok := operations[r.method+" "+r.path]
		if !ok {
			t.Errorf("%s %s is not described", r.method, r.path)
		}
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path].(map[string]any)[strings.ToLower(r.method)] = d.operation(r, o)
	}
	d.schema(reflect.TypeFor[Problem]())
	doc := map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "Deed", "version": "1", "description": "The JSON API of a Deed broker. Errors are RFC 9457 problems. Times are RFC 3339 with nanoseconds, in UTC."},
		"paths":   paths,
		"components": map[string]any{
			"schemas": d.schemas,
			"securitySchemes": map[string]any{
				"bearer":  map[string]any{"type": "http", "scheme": "bearer", "description": "an access token with the audience {url}/mcp"},
				"session": map[string]any{"type": "apiKey", "in": "cookie", "name": "__Host-deed", "description": "the console's session; deed_session over http on loopback"},
			},
			"responses": map[string]any{"problem": map[string]any{
				"description": "an error (RFC 9457)",
				"content":     map[string]any{"application/problem+json": map[string]any{"schema": ref("Problem")}},
			}},
		},
	}
	want, err := json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent(" "))
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o600); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(want, description) {
		t.Errorf("openapi.json is not what routes and types say; run the test with -update (-want +got):\n%s", cmp.Diff(string(want), string(description)))
	}
}

type document struct{ schemas map[string]any }

func ref(name string) map[string]any { return map[string]any{"$ref": "#/components/schemas/" + name} }

func (d document) operation(r route, o operation) map[string]any {
	params := []any{}
	if strings.Contains(r.path, "{id}") {
		params = append(params, map[string]any{"name": "id", "in": "path", "required": true, "description": "of the call or revocation", "schema": map[string]any{"type": "string"}})
	}
	for _, p := range o.query {
		params = append(params, map[string]any{"name": p.name, "in": "query", "description": p.about, "schema": map[string]any{"type": p.kind}})
	}
	answer := map[string]any{"description": "as asked"}
	if o.media == "" {
		o.media = mediaJSON
	}
	if o.status == "" {
		o.status = "200"
		answer["content"] = map[string]any{o.media: map[string]any{"schema": d.answer(o)}}
	}
	out := map[string]any{"summary": o.summary, "parameters": params, "responses": map[string]any{o.status: answer}}
	if !o.open {
		out["security"] = []any{map[string]any{"bearer": []any{}}, map[string]any{"session": []any{}}}
		out["responses"].(map[string]any)["default"] = map[string]any{"$ref": "#/components/responses/problem"}
	}
	if o.body != nil {
		out["requestBody"] = map[string]any{"required": true, "content": map[string]any{mediaJSON: map[string]any{"schema": d.schema(reflect.TypeOf(o.body))}}}
	}
	return out
}

func (d document) answer(o operation) any {
	switch {
	case o.answer == nil && o.media == mediaJSON:
		return map[string]any{"type": "object"}
	case o.answer == nil:
		return map[string]any{"type": "string"}
	case o.list != nil:
		return map[string]any{"anyOf": []any{d.schema(reflect.TypeOf(o.answer)), d.schema(reflect.TypeOf(o.list))}}
	default:
		return d.schema(reflect.TypeOf(o.answer))
	}
}

// schema is a JSON Schema of a Go type, as package json encodes it.
func (d document) schema(t reflect.Type) any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[tlog.Hash](), reflect.TypeFor[[]byte]():
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	case reflect.TypeFor[jsontext.Value]():
		return map[string]any{}
	}
	switch t.Kind() { // the kinds that the API uses; others panic
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Struct:
		if strings.Contains(t.Name(), "[") { // a list is described in place
			return d.object(t)
		}
		if _, done := d.schemas[t.Name()]; !done {
			d.schemas[t.Name()] = nil
			d.schemas[t.Name()] = d.object(t)
		}
		return ref(t.Name())
	default:
		panic("no schema for " + t.String())
	}
}

func (d document) object(t reflect.Type) any {
	properties, required := map[string]any{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		properties[name] = d.schema(f.Type)
		if options == "" {
			required = append(required, name)
		}
	}
	if t == reflect.TypeFor[Approval]() {
		required = slices.DeleteFunc(required, func(n string) bool { return n == "reason" })
	}
	if t == reflect.TypeFor[Finding]() {
		required = slices.DeleteFunc(required, func(n string) bool { return n == "note" })
	}
	if t == reflect.TypeFor[NewRevocation]() {
		required = []string{"kind", "reason", "value"}
	}
	slices.Sort(required)
	return map[string]any{"type": "object", "properties": properties, "required": required}
}
