// Package ongoing keeps on the local disk which calls an upstream works on as tasks, and how each
// is asked about: what a broker needs, beside the log, to learn after a restart what came of a call
// that it had left running. It stands in no event: a task's id can be all that its upstream asks for
// before it tells what came of it.
//
// Each is a file of its own, written and synced before it gets its name. What is lost with the disk
// costs a result: the log then says of the call that its outcome is unknown.
package ongoing
