// Package provision installs what the tests need for real, with the ordinary
// clients of the machine (npm, pip, apt-get) and their configuration, into a cache
// below the user's cache directory.
//
// Every thing is a directory of its own, named by what it is and its versions. It
// is installed under a file lock, and a marker is written last: an installation
// that was interrupted is thrown away and done again, and two testbeds at once
// share one.
package provision
