// Package files is an upstream that reads and writes text files in one directory.
//
// Everything goes through [os.Root]: neither "..", an absolute path nor a symbolic
// link leads out of the directory, whoever changes it meanwhile. Only regular files are
// read, and a file is replaced as a whole or not at all.
package files
