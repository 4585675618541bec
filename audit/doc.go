// Package audit says what happened: the events of calls, the durable log that
// holds them, and what can be proved about it.
//
// An [Event] is a CloudEvents 1.0 envelope around one of the data types of this
// package ([Intent], [Approval], [Release], [Outcome], ...). A [Log] stores its
// JSON bytes and acknowledges them once they are durable; those exact bytes are
// the leaf of a Merkle tree (RFC 6962) over the log's partition, so that whoever
// holds a signed checkpoint can prove what the log said.
//
// Arguments and results are not in the event. It carries a [Commitment], a
// salted SHA-256, and the [Payload] is stored beside it, so that erasing a
// payload leaves every proof intact.
//
// The package knows nothing of tokens, tools or policies: the broker translates
// those into the wire types here, which must stay readable for years.
package audit
