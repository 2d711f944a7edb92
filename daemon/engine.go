// Package daemon is the engine of fobd: one table of operations, a queue for each
// key, sessions with keys, prompts and events.
//
// It is for the front ends (daemon/httpapi, daemon/dbusapi), which decode a request,
// know who asks, and call [Engine.Do]. It knows nothing of sockets, HTTP or D-Bus.
package daemon
