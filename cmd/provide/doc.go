// Package provide makes available on this machine what Deed works with: programs
// and artifacts that are installed with the ordinary clients of the machine
// (apt-get, mvn) and their configuration, and servers that run as processes of
// their own. `deed demo` and the testbed stand on it.
//
// What is installed is a directory of a [Cache], named by what it is and its
// version. It is filled under a file lock, and a marker is written last: an
// installation that was interrupted is thrown away and done again, and two
// processes that want one share it.
//
// A [Process] is known by its pid file, on which the process itself holds a lock for
// as long as it lives: whoever looks later, after a crash too, tells without doubt
// whether it still runs, and can use it or end it.
package provide
