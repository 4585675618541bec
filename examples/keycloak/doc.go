// Package keycloak is an example: Deed with a real Keycloak. Its tests run the
// configuration as it is, with people, agents and the official MCP clients.
package keycloak
