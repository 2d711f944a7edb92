package softkey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
)

// Presence is what the emulated person does when the key blinks.
type Presence string

// What the person can do.
const (
	PresenceGrant  Presence = "grant"  // touches at once; the zero value too
	PresenceDeny   Presence = "deny"   // refuses at once
	PresenceDelay  Presence = "delay"  // touches after a while
	PresenceManual Presence = "manual" // waits for [Authenticator.Touch]
)

// Verification is the key's built-in user verification, such as a fingerprint sensor.
type Verification string

// What the sensor can say.
const (
	VerificationNone  Verification = "none"  // there is none; the zero value too
	VerificationGrant Verification = "grant" // it knows the person
	VerificationDeny  Verification = "deny"  // it does not
)

// Prompt is what the key blinks for.
type Prompt struct {
	Command ctap2.Cmd // 0 for a U2F request
	RPID    string    // empty where there is none, or for U2F
	Long    bool      // a short touch does not do (CTAP 2.3, section 6.11.5)
}

// person is the script of the emulated person.
type person struct {
	timeout  time.Duration
	clock    *clock
	onPrompt func(*Prompt)

	mu           sync.Mutex // guards all below
	presence     Presence
	delay        time.Duration
	verification Verification
	armed        bool          // a touch that nobody has asked for yet
	long         bool          // it is a long one
	waiting      *Prompt       // what the key blinks for
	changed      chan struct{} // closed and renewed at every change
	unplugged    int           // above 0: nobody can touch the key
	u2fSince     time.Time     // when the U2F request that polls for a touch began
	u2fLast      time.Time     // its last poll
	u2fOver      *timer        // calls announce when the polls stop; nil: not announced
}

// u2fPatience is how long after the last poll a U2F request still counts as waiting.
const u2fPatience = time.Second

func newPerson(cfg Config) (*person, error) {
	p := &person{timeout: cfg.TouchTimeout, clock: newClock(cfg.Clock), onPrompt: cfg.OnPrompt, changed: make(chan struct{})}
	if err := p.setPresence(cfg.Presence, cfg.Delay); err != nil {
		return nil, err
	}
	if err := p.setVerification(cfg.Verification); err != nil {
		return nil, err
	}
	return p, nil
}

// change wakes who waits; p.mu is held.
func (p *person) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *person) setPresence(presence Presence, delay time.Duration) error {
	switch presence {
	case "":
		presence = PresenceGrant
	case PresenceGrant, PresenceDeny, PresenceManual:
	case PresenceDelay:
		if delay <= 0 {
			return errors.New("softkey: presence delay needs a time above 0")
		}
	default:
		return fmt.Errorf("softkey: unknown presence %q", presence)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.presence, p.delay, p.armed = presence, delay, false
	p.change()
	return nil
}

func (p *person) setVerification(v Verification) error {
	switch v {
	case "":
		v = VerificationNone
	case VerificationNone, VerificationGrant, VerificationDeny:
	default:
		return fmt.Errorf("softkey: unknown verification %q", v)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verification = v
	return nil
}

// forget drops a touch that nobody has asked for, and a U2F request that waits for one.
func (p *person) forget() {
	p.mu.Lock()
	p.armed, p.u2fLast = false, time.Time{}
	announced := p.stopU2F()
	p.mu.Unlock()
	if announced {
		p.announce(nil)
	}
}

// unplug with 1 ends all waiting for the person, with -1 allows it again.
func (p *person) unplug(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unplugged += n
	p.change()
}

// SetPresence changes what the person does, also about a key that blinks already.
// delay is for [PresenceDelay].
func (a *Authenticator) SetPresence(presence Presence, delay time.Duration) error {
	return a.user.setPresence(presence, delay)
}

// SetVerification changes what built-in user verification says. [VerificationNone]
// takes the sensor away, as the option uv of getInfo then tells.
func (a *Authenticator) SetVerification(v Verification) error { return a.user.setVerification(v) }

// Behaviour returns what [Authenticator.SetPresence] and [Authenticator.SetVerification] set.
func (a *Authenticator) Behaviour() (Presence, time.Duration, Verification) {
	a.user.mu.Lock()
	defer a.user.mu.Unlock()
	return a.user.presence, a.user.delay, a.user.verification
}

// Asked asks the person for a touch for something besides FIDO that is on the same key, such as a one-time code: it returns whether there
// was one, at the latest when ctx ends.
func (a *Authenticator) Asked(ctx context.Context) bool { return a.user.decide(ctx, &Prompt{}) == nil }

// Touch touches the key once. A key that does not blink keeps the touch for the next
// time it does, so that a script need not wait for the blinking; it keeps one.
func (a *Authenticator) Touch() {
	a.user.mu.Lock()
	defer a.user.mu.Unlock()
	a.user.armed, a.user.long = true, false
	a.user.change()
}

// LongTouch touches the key once and holds on for as long as a reset wants it after
// enableLongTouchForReset (CTAP 2.3, section 6.11.5), where [Authenticator.Touch] is refused. Elsewhere it is a
// touch as any other. A person of another presence than [PresenceManual] always holds on.
func (a *Authenticator) LongTouch() {
	a.user.mu.Lock()
	defer a.user.mu.Unlock()
	a.user.armed, a.user.long = true, true
	a.user.change()
}

// FailVerifications makes the next n built-in user verifications fail, whatever
// [Authenticator.SetVerification] says; 0 for none. It is the fault "uv-fails".
func (a *Authenticator) FailVerifications(n uint) {
	f := a.Faults()
	f.UVFails = n
	a.SetFaults(f)
}

// watch returns what is closed at the next change, and whether the key is unplugged.
func (p *person) watch() (changed <-chan struct{}, unplugged bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed, p.unplugged > 0
}

// Waiting returns what the key blinks for, or nil.
func (a *Authenticator) Waiting() *Prompt {
	p := a.user
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil && !p.u2fLast.IsZero() && p.clock.now().Sub(p.u2fLast) < u2fPatience {
		return &Prompt{}
	}
	return p.waiting
}

// touch blinks until the person has decided (CTAP 2.2, section 6.1.2, step 14 and its
// like): nil, ErrOperationDenied, ErrUserActionTimeout or ErrKeepaliveCancel. The caller holds
// a.mu, which is free meanwhile.
func (a *Authenticator) touch(c *command, prompt *Prompt) error {
	a.mu.Unlock()
	defer a.mu.Lock()
	c.keepalive(ctap2.KeepaliveUPNeeded)
	defer c.keepalive(ctap2.KeepaliveProcessing)
	return a.user.decide(c.ctx, prompt)
}

func (p *person) decide(ctx context.Context, prompt *Prompt) error {
	if ctx.Err() != nil {
		return ctap2.ErrKeepaliveCancel
	}
	p.mu.Lock()
	switch {
	case p.presence == PresenceGrant:
		p.mu.Unlock()
		p.announce(prompt)
		p.announce(nil)
		return nil
	case p.presence == PresenceDeny:
		p.mu.Unlock()
		return ctap2.ErrOperationDenied
	}
	p.waiting = prompt
	p.mu.Unlock()
	p.announce(prompt)
	defer p.announce(nil)
	defer func() {
		p.mu.Lock()
		p.waiting = nil
		p.mu.Unlock()
	}()

	wake := make(chan struct{}, 1)
	ring := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	began := p.clock.now()
	limit := p.clock.after(p.timeout, ring)
	defer limit.stop()
	var delayed *timer
	defer func() {
		if delayed != nil {
			delayed.stop()
		}
	}()
	for {
		p.mu.Lock()
		changed := p.changed
		passed := p.clock.now().Sub(began)
		left := time.Duration(-1)
		if p.presence == PresenceDelay {
			left = p.delay - passed
		}
		decided, err := true, error(nil)
		touched := p.armed
		p.armed = false
		switch {
		case p.unplugged > 0:
			err = ctap2.ErrKeepaliveCancel
		case touched && prompt.Long && !p.long:
			err = ctap2.ErrOperationDenied // who let go does not want it
		case touched, p.presence == PresenceGrant:
		case p.presence == PresenceDeny:
			err = ctap2.ErrOperationDenied
		case p.presence == PresenceDelay && left <= 0 && p.delay <= p.timeout:
		case passed >= p.timeout:
			err = ctap2.ErrUserActionTimeout
		default:
			decided = false
		}
		p.mu.Unlock()
		if decided {
			return err
		}
		if delayed != nil {
			delayed.stop()
			delayed = nil
		}
		if left > 0 {
			delayed = p.clock.after(left, ring)
		}
		select {
		case <-ctx.Done():
			return ctap2.ErrKeepaliveCancel
		case <-changed:
		case <-wake:
		}
	}
}

func (p *person) announce(prompt *Prompt) {
	if p.onPrompt != nil {
		p.onPrompt(prompt)
	}
}

// present answers a U2F request, which does not wait but is repeated by the client
// until the person has touched the key (FIDO U2F Raw Message Formats 1.2, section 3.3).
func (p *person) present() bool {
	granted, show := p.poll()
	for _, prompt := range show {
		p.announce(prompt)
	}
	return granted
}

// poll is present, and says what to announce.
func (p *person) poll() (granted bool, show []*Prompt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.presence == PresenceDeny {
		return false, nil
	}
	now := p.clock.now()
	if p.u2fLast.IsZero() || now.Sub(p.u2fLast) >= u2fPatience {
		p.u2fSince = now
	}
	p.u2fLast = now
	switch {
	case p.armed, p.presence == PresenceGrant:
		granted = true
	case p.presence == PresenceDelay:
		granted = now.Sub(p.u2fSince) >= p.delay
	}
	switch {
	case !granted && p.u2fOver == nil:
		p.u2fOver = p.clock.after(u2fPatience, p.patienceOver)
		return false, []*Prompt{{}}
	case !granted:
		p.u2fOver.reset(u2fPatience)
		return false, nil
	}
	p.armed, p.u2fLast = false, time.Time{}
	if p.stopU2F() {
		return true, []*Prompt{nil}
	}
	return true, []*Prompt{{}, nil}
}

// stopU2F says whether a U2F request was announced, and that it is over; p.mu is held.
func (p *person) stopU2F() bool {
	if p.u2fOver == nil {
		return false
	}
	p.u2fOver.stop()
	p.u2fOver = nil
	return true
}

// patienceOver announces the end of a U2F request that the client has given up.
func (p *person) patienceOver() {
	p.mu.Lock()
	over := p.u2fOver != nil && p.clock.now().Sub(p.u2fLast) >= u2fPatience && p.stopU2F()
	p.mu.Unlock()
	if over {
		p.announce(nil)
	}
}

// sensor says whether there is built-in user verification, and whether it knows the
// person.
func (p *person) sensor() (there, knows bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verification != VerificationNone, p.verification == VerificationGrant
}
