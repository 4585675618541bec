// Package provision says what the tests need for real and in which versions, and
// installs it with package provide: with the ordinary clients of the machine (npm,
// pip, apt-get, mvn), into a cache below the user's cache directory.
package provision
