// Package redact takes out of what is put on record what its domain wants nobody to read: the
// fields that configuration names, and secrets that an agent or a tool put where they do not
// belong. What runs, and what the agent is answered, is not altered.
//
// A field is named by a JSON pointer from the root of the arguments, in which * is any one
// member or element, and ** any number of them: /card/number, /**/password. In an answer
// the root is its structured content, and that of each text that is JSON itself.
package redact
