// Package bridge lets a client that speaks the Model Context Protocol over stdin and
// stdout use a broker's Streamable HTTP endpoint.
//
// Messages are forwarded as they are, both ways: each line of input is one POST, and
// every message of the answers, and of the session's own stream, is a line of output. What
// HTTP adds is supplied here: the token, the session, the headers that repeat what a
// body says. A session that the broker has lost, by a restart say, is opened again
// behind the client's back; a request that gets no answer is answered with an
// error, so that the client does not wait for ever.
package bridge
