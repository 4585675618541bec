// Package keycloak provides a real Keycloak on loopback, in development mode with its
// data in memory: installed with Maven, started when a test asks for it. Its admin API
// imports realms and changes them, and [Browser] logs a person in at its pages as a
// browser would.
package keycloak
