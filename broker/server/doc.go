// Package server puts a broker together from a configuration and serves it: log,
// sealing, history index, tools, policies, tokens, and the edges that agents, people
// and operators use.
//
// [Open] does everything that can fail before anybody is served; [Server.Run] serves
// until its context ends, then stops in order: no new calls, running calls end or are
// recorded as unknown, held calls stay held, the log is sealed and closed.
package server
