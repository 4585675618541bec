// Package secrets finds keys, tokens and passwords in JSON, so that none of them is put on
// record.
//
// What they look like is gitleaks' knowledge: gitleaks.toml is its own file of rules, of the
// release that .ci/secrets.mod names, and go generate brings a newer one
// (https://github.com/gitleaks/gitleaks, MIT licence). Its scanner is made for repositories:
// it brings archives, diffs and a configuration library of its own with it, and files and
// commits that are let through. Here a text is looked at alone, by the same rules: words
// that must be there, an expression, how random the secret must be, and what is none.
package secrets

//go:generate sh rules.sh
