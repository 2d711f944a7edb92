package main

import (
	"errors"
	"fmt"
	"strings"
)

// maxLine bounds a line on the control socket, in bytes.
const maxLine = 256

// order is a parsed line of the control socket.
type order struct {
	verb string // power, touch, uv, status or quit
	arg  string // on, off or once; empty for status and quit
}

// orders are the verbs with the words that may follow.
var orders = map[string][]string{
	"power":  {"on", "off"},
	"touch":  {"on", "off", "once"},
	"uv":     {"on", "off"},
	"status": nil,
	"quit":   nil,
}

// parseLine reads one line, without its end.
func parseLine(line string) (order, error) {
	if len(line) > maxLine {
		return order{}, errors.New("line is too long")
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return order{}, errors.New("empty line")
	}
	args, known := orders[words[0]]
	if !known {
		return order{}, fmt.Errorf("unknown word %q: want power, touch, uv, status or quit", words[0])
	}
	if args == nil {
		if len(words) > 1 {
			return order{}, fmt.Errorf("%s takes no word", words[0])
		}
		return order{verb: words[0]}, nil
	}
	if len(words) == 2 {
		for _, arg := range args {
			if words[1] == arg {
				return order{verb: words[0], arg: arg}, nil
			}
		}
	}
	return order{}, fmt.Errorf("want %s %s", words[0], strings.Join(args, "|"))
}

func (o order) String() string { return strings.TrimSpace(o.verb + " " + o.arg) }
