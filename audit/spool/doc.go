// Package spool keeps, on the local disk, events that a log which is away could not
// take: what came of calls whose intents the log has. An event that was put is durable;
// it is taken out, in the order in which the events were put, once the log has it.
//
// A crash between the two has the event written again, which does no harm: of several
// closing events of a call the first counts.
package spool
