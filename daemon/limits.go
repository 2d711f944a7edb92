package daemon

import (
	"fmt"

	"github.com/fobd/fobd/daemon/api"
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

// counter counts what users have. Its zero value is usable; the engine's lock guards it.
type counter struct {
	all  int
	user map[uint32]int
}

// enter counts one in, unless there are too many of what.
func (n *counter) enter(who policy.Actor, what string, most, mostOfUser int) error {
	switch {
	case n.user[who.UID] >= mostOfUser:
		return tooMany(fmt.Sprintf("%s has %d %s already", who.User, mostOfUser, what), "wait until some of them have ended")
	case n.all >= most:
		return tooMany(fmt.Sprintf("there are %d %s already", most, what), "try again later")
	}
	if n.user == nil {
		n.user = map[uint32]int{}
	}
	n.all++
	n.user[who.UID]++
	return nil
}

func (n *counter) leave(uid uint32) {
	n.all--
	if n.user[uid]--; n.user[uid] == 0 {
		delete(n.user, uid)
	}
}

func tooMany(message, hint string) error {
	return &api.Error{Code: api.CodeTooMany, Message: message, Hint: hint}
}
