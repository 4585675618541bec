// Package witness keeps a log from showing two histories: a witness, run by somebody
// else, signs a log's checkpoints and never one that does not extend what it signed
// before. The protocol is C2SP tlog-witness, the signatures are those of C2SP
// tlog-cosignature (package seal), so that witnesses and logs of others fit.
//
// [Server] is a witness. It keeps the last checkpoint of each log in a file of its own
// and answers only once that is durable, so that neither a kill nor a restored request
// makes it sign a fork.
//
// [Client] asks one witness; [Rounds] asks all that are configured for each log that has
// grown, beside the calls and never before them, and hands the checkpoint to the sealer
// once enough have signed.
package witness
