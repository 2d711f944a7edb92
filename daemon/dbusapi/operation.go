package dbusapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

// States of an operation.
const (
	stateRunning  = "running"
	stateFinished = "finished"
	stateFailed   = "failed"
)

// operation is an interactive operation, and its object on the bus.
type operation struct {
	s      *Server
	path   dbus.ObjectPath
	row    daemon.Operation
	from   *caller
	who    policy.Actor
	cancel context.CancelCauseFunc
	// ended is closed when result or err is there.
	ended  chan struct{}
	result string
	err    *dbus.Error
	code   string // of the error, as JSON

	mu      sync.Mutex // guards what follows
	prompts []api.Prompt
}

var operationSpec = &spec{
	name: OperationInterface,
	methods: []method{
		{
			name: "Cancel", doc: "Give the operation up. It ends with an error, Cancelled, after the key has been told.",
			run: own((*operation).giveUp),
		},
		{
			name: "Wait", doc: "Wait for the end and return the result as JSON, or fail as the operation did.",
			out: []arg{{"result", "s"}}, run: own((*operation).wait),
		},
		{
			name: "Prompts", doc: "The prompts that are open, as a JSON array, for a caller that missed the signals.",
			out: []arg{{"prompts", "s"}}, run: own((*operation).open),
		},
		{
			name: "Answer", doc: "Answer a prompt of the kind pin or new-pin. The PIN is read from a pipe, a socket or a memfd to its end, at most 255 bytes.",
			in: []arg{{"prompt_id", "s"}, {"pin", "h"}}, run: own(func(o *operation, c *call) ([]any, error) { return nil, c.answer(o, nil) }),
		},
		{
			name: "Choose", doc: "Answer a prompt of the kind choose with the index of a choice, from 0.",
			in: []arg{{"prompt_id", "s"}, {"index", "u"}}, run: own(func(o *operation, c *call) ([]any, error) { return nil, c.answer(o, choice) }),
		},
		{
			name: "Confirm", doc: "Answer a prompt of the kind confirm.",
			in: []arg{{"prompt_id", "s"}, {"yes", "b"}}, run: own(func(o *operation, c *call) ([]any, error) { return nil, c.answer(o, consent) }),
		},
		{
			name: "GiveUp", doc: "Say that the person gives up at a prompt.",
			in: []arg{{"prompt_id", "s"}}, run: own(func(o *operation, c *call) ([]any, error) { return nil, c.answer(o, resign) }),
		},
	},
	signals: []signal{
		{"Prompt", "The person is wanted: a prompt as JSON. To the caller alone.", []arg{{"prompt", "s"}}},
		{"Progress", "How it stands: a prompt of the kind wait or lease as JSON, which wants nothing. To the caller alone.", []arg{{"prompt", "s"}}},
		{"Withdrawn", "A prompt or progress is over. To the caller alone.", []arg{{"prompt_id", "s"}}},
		{"Finished", "The end: the result as JSON and an empty text, or an empty text and the error as JSON. To the caller alone.", []arg{{"result", "s"}, {"error", "s"}}},
	},
	properties: []property{
		{"Operation", "s", "The name of the operation, as in the table.", true},
		{"Program", "s", "The program that asked, as the kernel knows it.", true},
		{"PID", "u", "Its process; 0 when unknown.", true},
		{"User", "s", "Its user.", true},
		{"State", "s", "running, finished or failed.", false},
	},
}

// own makes a method that only the caller of the operation may call.
func own(f func(o *operation, c *call) ([]any, error)) func(*call) ([]any, error) {
	return func(c *call) ([]any, error) {
		o, ok := c.object.(*operation)
		if !ok {
			return nil, busError("UnknownObject", "no such operation")
		}
		if o.from != c.from {
			return nil, &api.Error{Code: api.CodeDenied, Message: "the operation is another program's"}
		}
		return f(o, c)
	}
}

// start begins an interactive operation after the caller has heard where it is.
func (c *call) start(who policy.Actor, row daemon.Operation, body []byte) ([]any, error) {
	s := c.s
	ctx, cancel := context.WithCancelCause(c.ctx)
	o := &operation{s: s, row: row, from: c.from, who: who, cancel: cancel, ended: make(chan struct{})}
	if err := s.add(o); err != nil {
		cancel(nil)
		return nil, err
	}
	s.added(o.path, map[string]map[string]dbus.Variant{OperationInterface: o.values()})
	c.reply(o.path)
	go func() {
		defer s.running.Done()
		defer cancel(nil)
		o.run(ctx, body)
	}()
	return nil, nil
}

// add gives an operation its path.
func (s *Server) add(o *operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return errStopping
	}
	if o.from.operations >= s.cfg.MaxCalls {
		return busError("LimitsExceeded", fmt.Sprintf("%d operations of yours run already", s.cfg.MaxCalls))
	}
	o.from.operations++
	s.last++
	o.path = pathOf("operation", strconv.FormatUint(s.last, 10))
	s.operations[o.path] = o
	s.running.Add(1)
	return nil
}

// run is the operation's life.
func (o *operation) run(ctx context.Context, body []byte) {
	ui := o.s.engine.UI(o.who, o.show)
	result, err := o.s.engine.Do(ctx, o.who, o.row.Name, frontend.Decoder(body), ui)
	ui.Close()
	if err != nil {
		err = cause(ctx, err)
		o.err, o.code = failure(err), encode(daemon.ErrorOf(err))
	} else {
		o.result = encode(result)
	}
	close(o.ended)
	o.s.retire(o)
}

// retire tells of the end, and forgets the operation after a while.
func (s *Server) retire(o *operation) {
	s.mu.Lock()
	o.from.operations--
	o.from.ended = append(o.from.ended, o)
	var surplus *operation
	if len(o.from.ended) > s.cfg.MaxCalls {
		surplus = o.from.ended[0]
	}
	here := s.callers[o.from.name] == o.from
	s.mu.Unlock()
	s.changed(o.path, OperationInterface, map[string]dbus.Variant{"State": dbus.MakeVariant(o.state())})
	if !here {
		s.forget(o)
		return
	}
	s.tell(o.from, o.path, OperationInterface+".Finished", o.result, o.code)
	if surplus != nil {
		s.forget(surplus)
	}
	stop := context.AfterFunc(o.from.ctx, func() { s.forget(o) })
	time.AfterFunc(s.cfg.Keep, func() {
		stop()
		s.forget(o)
	})
}

// forget takes an operation that has ended off the bus.
func (s *Server) forget(o *operation) {
	s.mu.Lock()
	known := s.operations[o.path] == o
	delete(s.operations, o.path)
	o.from.ended = slices.DeleteFunc(o.from.ended, func(other *operation) bool { return other == o })
	s.mu.Unlock()
	if known {
		s.removed(o.path, OperationInterface)
	}
}

func (o *operation) state() string {
	select {
	case <-o.ended:
	default:
		return stateRunning
	}
	if o.err != nil {
		return stateFailed
	}
	return stateFinished
}

func (o *operation) values() map[string]dbus.Variant {
	return map[string]dbus.Variant{
		"Operation": dbus.MakeVariant(o.row.Name),
		"Program":   dbus.MakeVariant(text(o.who.Program)),
		"PID":       dbus.MakeVariant(uint32(o.who.PID)),
		"User":      dbus.MakeVariant(text(o.who.User)),
		"State":     dbus.MakeVariant(o.state()),
	}
}

// show tells the caller of a prompt.
func (o *operation) show(p api.Prompt) (withdraw func()) {
	o.mu.Lock()
	o.prompts = append(o.prompts, p)
	o.mu.Unlock()
	member := ".Prompt"
	if p.Kind == api.PromptWait || p.Kind == api.PromptLease {
		member = ".Progress"
	}
	o.s.tell(o.from, o.path, OperationInterface+member, encode(p))
	return func() {
		o.mu.Lock()
		o.prompts = slices.DeleteFunc(o.prompts, func(q api.Prompt) bool { return q.ID == p.ID })
		o.mu.Unlock()
		o.s.tell(o.from, o.path, OperationInterface+".Withdrawn", p.ID)
	}
}

// kind is that of an open prompt, or "".
func (o *operation) kind(id string) api.PromptKind {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.prompts {
		if p.ID == id {
			return p.Kind
		}
	}
	return ""
}

func (o *operation) giveUp(*call) ([]any, error) {
	o.cancel(&api.Error{Code: api.CodeCancelled, Message: "the program that asked gave up"})
	return nil, nil
}

func (o *operation) wait(c *call) ([]any, error) {
	select {
	case <-o.ended:
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
	if o.err != nil {
		return nil, o.err
	}
	return []any{o.result}, nil
}

func (o *operation) open(*call) ([]any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	data, err := json.Marshal(append([]api.Prompt{}, o.prompts...))
	return []any{string(data)}, err
}
