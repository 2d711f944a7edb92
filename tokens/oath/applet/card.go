package applet

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/fobd/fobd/tokens/internal/pause"
	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// application is what SELECT chose.
type application int

const (
	nothing application = iota
	oathApplication
	managementApplication
)

// The names that applications are selected by.
var (
	oathAID       = append(oath.AID(), 0x01)
	managementAID = []byte{0xA0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17}
)

const insGetResponse = 0xC0

// answer is a response, before it is cut into pieces.
type answer struct {
	data []byte
	// cuts are where records end, for devices that cut nowhere else; the last one is the end.
	cuts []int
	sw   apdu.SW
}

func status(sw apdu.SW) answer { return answer{sw: sw} }

func ok(data []byte) answer { return answer{data: data, sw: apdu.OK} }

// Transmit takes a command APDU of any case and returns the response APDU: it implements [oath.Card]. It waits for the
// touch where one is needed. The error is [ErrGone] or the context's cause; then nobody knows whether the command was done.
func (a *Applet) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	return a.command(ctx, func(ctx context.Context) []byte {
		a.run.keepalive = nil
		return a.overCCID(ctx, command)
	})
}

// command runs one command when it is its turn, with the faults.
func (a *Applet) command(ctx context.Context, do func(ctx context.Context) []byte) ([]byte, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-a.turn }()
	a.mu.Lock()
	defer a.mu.Unlock()
	ended := a.power.ended
	ctx, cancel := context.WithCancelCause(ctx)
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		select {
		case <-ended:
			cancel(ErrGone)
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(nil); <-watch }()
	f := a.faults.next()
	if err := a.delay(ctx, f.Delay); err != nil {
		return nil, err
	}
	if f.PullBefore {
		a.pull()
	}
	if err := gone(ctx, ended); err != nil {
		return nil, err
	}
	response := do(ctx)
	if f.PullAfter {
		a.pull()
	}
	if err := gone(ctx, ended); err != nil {
		return nil, err
	}
	return f.change(response), nil
}

// gone is why a command has no answer, nil when it has.
func gone(ctx context.Context, ended chan struct{}) error {
	select {
	case <-ended:
		return ErrGone
	default:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// pull pulls the card; a.mu is held.
func (a *Applet) pull() {
	select {
	case <-a.power.ended:
	default:
		close(a.power.ended)
	}
}

// delay waits without holding the lock.
func (a *Applet) delay(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	a.mu.Unlock()
	defer a.mu.Lock()
	return pause.For(ctx, d)
}

// overCCID is the way of PC/SC: applications, chains of commands and of responses.
func (a *Applet) overCCID(ctx context.Context, b []byte) []byte {
	c, extended, err := apdu.ParseCommand(b)
	switch {
	case err != nil:
		return marshal(status(apdu.ErrWrongLength))
	case extended && (a.cfg.NoExtended || !a.traits.extended):
		return marshal(status(apdu.ErrWrongLength))
	case apdu.Chained(c.CLA) && a.cfg.NoChaining:
		return marshal(status(apdu.ErrChainingNotSupported))
	}
	whole, done, err := a.run.chain.Add(c)
	switch {
	case err != nil:
		return marshal(status(apdu.ErrWrongLength))
	case !done:
		return marshal(status(apdu.OK))
	case whole.CLA != 0:
		return marshal(status(apdu.ErrClaNotSupported))
	}
	room := whole.Le
	if room == 0 {
		room = apdu.MaxShortLe
		if extended {
			room = maxExtended
		}
	}
	return marshal(a.page(a.route(ctx, whole), min(room, maxExtended)))
}

func marshal(r answer) []byte { return apdu.Response{Data: r.data, SW: r.sw}.Marshal() }

// route gives a command to the application that it is for.
func (a *Applet) route(ctx context.Context, c apdu.Command) answer {
	if oath.Cmd(c.INS) == oath.CmdSelect && c.P1 == 4 {
		return a.choose(c)
	}
	if a.continues(c) {
		rest := a.run.rest
		a.run.rest = answer{}
		return rest
	}
	a.run.rest = answer{}
	switch a.run.selected {
	case oathApplication:
		return a.oath(ctx, c)
	case managementApplication:
		return a.management(c)
	}
	return status(apdu.ErrInsNotSupported)
}

// continues says that a command asks for the rest of a response: SEND REMAINING in YKOATH, where GET RESPONSE is none,
// and GET RESPONSE of a Nitrokey over CCID.
func (a *Applet) continues(c apdu.Command) bool {
	ins := byte(oath.CmdSendRemaining)
	if a.cfg.Personality == Nitrokey || a.run.selected != oathApplication {
		ins = insGetResponse
	}
	return c.INS == ins && a.run.rest.sw != 0
}

// choose is SELECT.
func (a *Applet) choose(c apdu.Command) answer {
	const shortest = 7 // bytes of a name that may be cut off
	a.run.rest = answer{}
	switch {
	case c.P2 != 0:
		return status(apdu.SW(a.traits.wrongP1P2))
	case len(c.Data) >= shortest && bytes.HasPrefix(oathAID, c.Data):
		a.run.selected = oathApplication
		return a.selectOATH()
	case bytes.Equal(c.Data, managementAID) && a.cfg.Personality == YubiKey:
		a.run.selected = managementApplication
		return a.selectManagement()
	}
	return status(apdu.ErrNotFound)
}

// page cuts what fits off a response and keeps the rest.
func (a *Applet) page(r answer, room int) answer {
	if len(r.data) <= room {
		return r
	}
	at := room
	if a.traits.wholeRecords && len(r.cuts) > 0 {
		at = 0
		for _, cut := range r.cuts {
			if cut <= room {
				at = cut
			}
		}
		if at == 0 {
			at = room // a record that does not fit by itself
		}
	}
	rest := answer{data: r.data[at:], sw: r.sw}
	for _, cut := range r.cuts {
		if cut > at {
			rest.cuts = append(rest.cuts, cut-at)
		}
	}
	a.run.rest = rest
	left := min(len(rest.data), 0xFF)
	if a.traits.wholeRecords {
		left = 0xFF // it does not count
	}
	return answer{data: slices.Clone(r.data[:at]), sw: 0x6100 | apdu.SW(left)}
}
