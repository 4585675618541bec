package oauth

import (
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/deedbroker/deed/agents/login"
)

// Description is a Client ID Metadata Document.
type Description struct {
	ID string `json:"client_id"`
	oauthex.ClientRegistrationMetadata
}

// Describe is the broker's document at a URL. Its redirects are those of [Client.Login], to any
// port of loopback (RFC 8252 section 7.3).
func Describe(url string) Description {
	return Description{url, registered([]string{"http://127.0.0.1" + login.CallbackPath, "http://localhost" + login.CallbackPath}, login.MethodNone)}
}

// registered is how the broker describes itself to authorization servers.
func registered(redirects []string, method login.Method) oauthex.ClientRegistrationMetadata {
	return oauthex.ClientRegistrationMetadata{
		ClientName: clientName, RedirectURIs: redirects, ApplicationType: "native",
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		TokenEndpointAuthMethod: string(method),
	}
}
