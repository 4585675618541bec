// Package sink sends calls, as they end, to where others watch: OTLP logs, syslog, a
// webhook.
//
// A [Sink] is a fold over the log with a durable place in it. It reads behind the calls'
// back, holds a bounded number of them, and moves on once a batch was taken: what is sent
// is sent at least once, also over a kill -9, and each entry names its call and record by
// which a receiver tells what it has had. A receiver that is away is tried again with
// growing pauses; meanwhile the log waits for it, and nothing else does.
//
// Syslog has no acknowledgement: what is taken there is what the connection took.
package sink
