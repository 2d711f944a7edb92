// Package frontend holds what the daemon's front ends share: how a request's JSON is read, and
// what is known of the process that sends it.
//
// It is for daemon/httpapi and daemon/dbusapi.
package frontend

import (
	"strconv"
	"strings"
)

// Quote shows something from a request in a message: quoted, and not too much of it.
func Quote(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return strconv.QuoteToGraphic(s)
}
