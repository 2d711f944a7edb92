package daemon

import (
	"fmt"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

// Limits bound what programs can take from each other. Zero members have defaults.
type Limits struct {
	// Requests bounds the operations that run or wait, of all users and of one. Defaults: 4096 and 2048.
	Requests, UserRequests int
	// Streams bounds those who follow events, of all users and of one. Defaults: 16384 and 12288.
	Streams, UserStreams int
	// Queue bounds those who wait for one key, of all users and of one. Defaults: 2048 and 1024.
	Queue, UserQueue int
}

func (l *Limits) setDefaults() {
	for _, v := range []struct {
		limit *int
		to    int
	}{{&l.Requests, 4096}, {&l.UserRequests, 2048}, {&l.Streams, 16384}, {&l.UserStreams, 12288}, {&l.Queue, 2048}, {&l.UserQueue, 1024}} {
		if *v.limit == 0 {
			*v.limit = v.to
		}
	}
}

// enter counts one more of what who has in, unless there are too many.
func enter(t *frontend.Tally, who policy.Actor, what string) error {
	switch ok, own := t.Enter(who.UID); {
	case ok:
		return nil
	case own:
		return tooMany(fmt.Sprintf("%s has %d %s already", who.User, t.MaxUser, what), "wait until some of them have ended")
	}
	return tooMany(fmt.Sprintf("there are %d %s already", t.Max, what), "try again later")
}

func tooMany(message, hint string) error {
	return &api.Error{Code: api.CodeTooMany, Message: message, Hint: hint}
}
