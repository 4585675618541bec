package openapi

import (
	"net/http"
	"slices"
	"strings"
)

// forbidden reports whether a header is none that a caller may set, whatever the document
// says: it belongs to HTTP, tells who is asking, or is what the broker itself sends.
func forbidden(name string, owned []string) bool {
	name = http.CanonicalHeaderKey(name)
	switch name {
	case "Authorization", "Cookie", "Host", "Accept", "Accept-Encoding", "Content-Type", "Content-Length", "Content-Encoding",
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Via", "Forwarded",
		"Origin", "Referer", "User-Agent", "X-Real-Ip", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"X-Original-Url", "X-Rewrite-Url", "Traceparent", "Tracestate":
		return true
	}
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Sec-") ||
		slices.ContainsFunc(owned, func(own string) bool { return strings.EqualFold(own, name) })
}
