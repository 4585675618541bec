// Package live streams the log to people's browsers and terminals, over WebSocket.
//
// One follower reads the log for all viewers. It keeps the newest records in a
// bounded tail, where each is parsed and framed once, and rings a bell; every
// viewer walks the tail at its own pace and sends what it may read. Nothing ever
// waits for a viewer: one that falls out of the tail is cut off, and resumes from
// its cursor later.
//
// Those who ask for batches get what the bell has rung for in one message, which is
// framed and compressed once for all who may read the same of it: a thousand viewers of
// 500 records a second cost about as much as that many writes of a few kilobytes.
//
// A viewer that comes with a cursor first reads the log by itself, until the last
// record that it read is one that stands in the tail; there it joins. So it gets
// every record after its cursor once, in the order of the log.
//
// With every ping a viewer is told how this replica is: how far its history is behind
// the log, and whether the log is there ([Status]).
//
// What a viewer may read is asked for every record, and remembered until the
// policies change. A record about a call whose tool is not known is withheld: what
// cannot be decided is not shown.
package live
