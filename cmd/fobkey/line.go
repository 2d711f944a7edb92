package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds of a line on the control socket, in bytes, and of a clock's move.
const (
	maxLine    = 8192
	maxAdvance = 100 * 365 * 24 * time.Hour
)

// order is a parsed line of the control socket.
type order struct {
	verb string   // of the table orders
	word string   // of the form, such as on or off; empty where there is none
	args []string // what the form leaves open
}

// What a form leaves open. LIST is one word or more, PATH the rest of the line, DURATION a
// plus sign and a time such as +30s.
const (
	formList     = "LIST"
	formPath     = "PATH"
	formDuration = "DURATION"
)

// orders are the verbs with the forms that may follow. An empty form is the verb alone.
var orders = map[string][]string{
	"power":    {"on", "off"},
	"touch":    {"on", "off", "once", "long"},
	"uv":       {"on", "off"},
	"fault":    {"on LIST", "off LIST", "clear", ""},
	"clock":    {"DURATION"},
	"sample":   {"LIST"},
	"snapshot": {"PATH"},
	"restore":  {"PATH"},
	"import":   {"PATH"},
	"export":   {"PATH"},
	"observe":  {""},
	"status":   {""},
	"quit":     {""},
}

// verbs lists the words that an order can begin with.
func verbs() string {
	list := slices.Sorted(maps.Keys(orders))
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// parseLine reads one line, without its end.
func parseLine(line string) (order, error) {
	if len(line) > maxLine {
		return order{}, errors.New("line is too long")
	}
	verb, rest := cutWord(line)
	if verb == "" {
		return order{}, errors.New("empty line")
	}
	forms, known := orders[verb]
	if !known {
		return order{}, fmt.Errorf("unknown word %q: want %s", verb, verbs())
	}
	for _, form := range forms {
		if o, ok := match(form, rest); ok {
			o.verb = verb
			return o, nil
		}
	}
	if len(forms) == 1 && forms[0] == "" {
		return order{}, fmt.Errorf("%s takes no word", verb)
	}
	return order{}, fmt.Errorf("want %s %s", verb, strings.Join(forms, "|"))
}

// cutWord takes the first word off a text.
func cutWord(text string) (word, rest string) {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

// match reads what follows a verb after one form.
func match(form, rest string) (order, bool) {
	var o order
	for _, want := range strings.Fields(form) {
		switch want {
		case formPath:
			o.args = []string{rest}
			return o, o.args[0] != ""
		case formList:
			o.args = strings.Fields(rest)
			return o, len(o.args) > 0
		}
		var word string
		word, rest = cutWord(rest)
		if want != formDuration {
			if word != want {
				return order{}, false
			}
			o.word = word
			continue
		}
		if _, err := duration(word); err != nil {
			return order{}, false
		}
		o.args = []string{word}
	}
	return o, rest == ""
}

// duration reads how far a clock moves.
func duration(word string) (time.Duration, error) {
	text, plus := strings.CutPrefix(word, "+")
	d, err := time.ParseDuration(text)
	if err != nil || !plus || d < 0 || d > maxAdvance {
		return 0, fmt.Errorf("want a time such as +30s, not %q", word)
	}
	return d, nil
}

func (o order) String() string {
	words := []string{o.verb}
	if o.word != "" {
		words = append(words, o.word)
	}
	return strings.Join(append(words, o.args...), " ")
}
