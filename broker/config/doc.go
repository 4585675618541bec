// Package config reads deed.yaml.
//
// The file is strict YAML: an unknown key, a key given twice, a second document,
// an anchor, a value of the wrong kind, each is an error that names the key, the
// place and the fix, and all of them are reported together. What is left out has
// the default that the Default constants of this package document; zero never
// means unlimited.
//
// Secrets are references ([Secret]): the file says where one is, never what it is.
// No error of this package quotes a value that could be one.
//
// # Precedence
//
// [Load] lets DEED_LISTEN, DEED_URL and DEED_DATA override the file, and the file
// the defaults.
package config
