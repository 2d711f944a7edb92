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
}

// person is the script of the emulated person.
type person struct {
	timeout  time.Duration
	onPrompt func(*Prompt)

	mu           sync.Mutex // guards all below
	presence     Presence
	delay        time.Duration
	verification Verification
	armed        bool          // a touch that nobody has asked for yet
	waiting      *Prompt       // what the key blinks for
	changed      chan struct{} // closed and renewed at every change
	unplugged    int           // above 0: nobody can touch the key
	u2fSince     time.Time     // when the U2F request that polls for a touch began
	u2fLast      time.Time     // its last poll
	u2fOver      *time.Timer   // calls announce when the polls stop; nil: not announced
}

// u2fPatience is how long after the last poll a U2F request still counts as waiting.
const u2fPatience = time.Second

func newPerson(cfg Config) (*person, error) {
	p := &person{timeout: cfg.TouchTimeout, onPrompt: cfg.OnPrompt, changed: make(chan struct{})}
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

// Touch touches the key once. A key that does not blink keeps the touch for the next
// time it does, so that a script need not wait for the blinking; it keeps one.
func (a *Authenticator) Touch() {
	a.user.mu.Lock()
	defer a.user.mu.Unlock()
	a.user.armed = true
	a.user.change()
}

// Waiting returns what the key blinks for, or nil.
func (a *Authenticator) Waiting() *Prompt {
	p := a.user
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil && !p.u2fLast.IsZero() && time.Since(p.u2fLast) < u2fPatience {
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

	limit := time.NewTimer(p.timeout)
	defer limit.Stop()
	began := time.Now()
	for {
		p.mu.Lock()
		changed := p.changed
		var decided bool
		var err error
		left := time.Duration(-1)
		switch {
		case p.unplugged > 0:
			decided, err = true, ctap2.ErrKeepaliveCancel
		case p.armed, p.presence == PresenceGrant:
			p.armed, decided = false, true
		case p.presence == PresenceDeny:
			decided, err = true, ctap2.ErrOperationDenied
		case p.presence == PresenceDelay:
			if left = p.delay - time.Since(began); left <= 0 {
				decided = true
			}
		}
		p.mu.Unlock()
		if decided {
			return err
		}
		var delay <-chan time.Time
		var timer *time.Timer
		if left > 0 {
			timer = time.NewTimer(left)
			delay = timer.C
		}
		select {
		case <-ctx.Done():
			err = ctap2.ErrKeepaliveCancel
		case <-limit.C:
			err = ctap2.ErrUserActionTimeout
		case <-changed:
		case <-delay:
		}
		if timer != nil {
			timer.Stop()
		}
		if err != nil {
			return err
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
	now := time.Now()
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
		p.u2fOver = time.AfterFunc(u2fPatience, p.patienceOver)
		return false, []*Prompt{{}}
	case !granted:
		p.u2fOver.Reset(u2fPatience)
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
	p.u2fOver.Stop()
	p.u2fOver = nil
	return true
}

// patienceOver announces the end of a U2F request that the client has given up.
func (p *person) patienceOver() {
	p.mu.Lock()
	over := p.u2fOver != nil && time.Since(p.u2fLast) >= u2fPatience && p.stopU2F()
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
