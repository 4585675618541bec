// Package httpapi is the face of the broker to people, consoles and scripts: JSON
// over HTTP under /v1, and what operators ask for (/healthz, /readyz, /metrics).
//
// Who asks is known before anything is read: by a bearer token, or by the session
// cookie of the console. What is shown is filtered record by record by what policy
// lets the viewer read; what is not theirs to see does not exist for them (404).
//
// The history index finds things; what is then shown of a call is folded from the
// log's own records. Held calls come from the broker, never from the index.
//
// Errors are RFC 9457 problems. Their status follows from [broker.Kind] in one
// place. The whole API is described at /v1/openapi.json, which a test holds
// against the routes and the types of this package.
package httpapi
