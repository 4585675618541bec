// Package openapi puts HTTP services behind the broker that describe themselves by OpenAPI 3.
// Each operation of the document becomes a tool; the service is not changed for it.
//
// A tool's input schema has the parameters of its operation and the members of its JSON body side
// by side; a body that is no plain object, or whose members would clash, is the argument body. Bodies can be
// forms, text, uploads and other bytes too, of which an argument holds the base64.
// What a definition says is all that decides what is sent: its _meta has method, path and the way
// that each argument goes, so that whatever of this changes in the document changes the
// definition, and is stopped until somebody has looked.
//
// Requests go below the configured base URL and nowhere else. No argument can leave its place:
// it is encoded into one segment, parameter or header, and headers that belong to the broker or
// to HTTP are nobody's parameters.
package openapi
