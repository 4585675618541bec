// Package providers is an example: what deed.yaml says of identity providers whose tokens
// are not of the form that RFC 9068 gives them. Its tests verify a token of each form.
package providers
