package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/token2"
)

// Token2 is a [Token] that is a Token2 key.
type Token2 struct {
	s *token2.Session
	o Options
}

// OpenToken2 selects the application of a key.
func OpenToken2(ctx context.Context, card token2.Card, o Options) (*Token2, error) {
	s, err := token2.Select(ctx, card)
	if err != nil {
		return nil, ofToken2(err)
	}
	return &Token2{s, o}, nil
}

func ofToken2(err error) error {
	for _, k := range []struct{ of, kind error }{
		{token2.ErrNoApplet, ErrNoAccounts},
		{token2.ErrNotFound, ErrNotFound},
		{token2.ErrFull, ErrFull},
		{token2.ErrButton, ErrTouch},
		{token2.ErrArgument, ErrUnsupported},
	} {
		if errors.Is(err, k.of) {
			return &Error{k.kind, err}
		}
	}
	return err
}

// About implements [Token].
func (t *Token2) About() About { return About{Way: "token2", Tries: -1, Unseen: true} }

func ofEntry(e token2.Entry) Account {
	a := Account{
		ID: e.App + ":" + e.Account, Issuer: e.App, Name: e.Account, Kind: HOTP, Hash: otp.SHA1, Digits: int(e.Digits), Touch: e.Button, driver: &e,
	}
	if e.SHA256 {
		a.Hash = otp.SHA256
	}
	if e.Timed {
		a.Kind, a.Period = TOTP, int64(e.Period)
	}
	return a
}

// Read implements [Token].
func (t *Token2) Read(ctx context.Context, at time.Time) ([]Reading, error) {
	list, err := t.s.List(ctx, at)
	if err != nil {
		return nil, ofToken2(err)
	}
	readings := make([]Reading, len(list))
	for i, e := range list {
		r := Reading{Account: ofEntry(e), Code: Code{Value: e.Code}}
		switch {
		case e.Button:
			r.Code = Code{Need: NeedTouch}
		case !e.Timed:
			r.Code = Code{Need: NeedCount}
		default:
			if err := r.Code.bound(r.Account, at); err != nil {
				return nil, err
			}
		}
		readings[i] = r
	}
	return readings, nil
}

// bound sets the time step of a code.
func (c *Code) bound(a Account, at time.Time) error {
	p := otp.Parameters{Kind: otp.TOTP, Period: a.Period}
	step, ok := p.Step(at)
	if !ok {
		return fmt.Errorf("accounts: a time before 1970")
	}
	c.From, c.Until = p.Starts(step), p.Starts(step+1)
	return nil
}

// List implements [Token].
func (t *Token2) List(ctx context.Context) ([]Account, error) {
	readings, err := t.Read(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	list := make([]Account, len(readings))
	for i, r := range readings {
		list[i] = r.Account
	}
	return list, nil
}

// Reveal implements [Token]: nothing is hidden.
func (t *Token2) Reveal(ctx context.Context) ([]Account, error) { return t.List(ctx) }

// Code implements [Token].
func (t *Token2) Code(ctx context.Context, a Account, at time.Time) (Code, error) {
	e, ok := a.driver.(*token2.Entry)
	if !ok {
		return Code{}, ErrNotFound
	}
	var c Code
	if e.Timed {
		if err := c.bound(a, at); err != nil {
			return c, err
		}
	}
	if e.Button && t.o.Touch != nil {
		t.o.Touch(true)
		defer t.o.Touch(false)
	}
	var err error
	c.Value, err = t.s.Code(ctx, e, at)
	return c, ofToken2(err)
}

// Add implements [Token].
func (t *Token2) Add(ctx context.Context, a New, seed []byte) (Account, error) {
	p := a.Params.Default()
	switch {
	case p.Kind != otp.HOTP && p.Kind != otp.TOTP, p.Hash != otp.SHA1 && p.Hash != otp.SHA256, p.Digits > 8, p.Period > 0xFFFF:
		return Account{}, unsupported("a Token2 makes codes of HOTP and TOTP with SHA-1 or SHA-256 and up to 8 digits only")
	case a.PIN:
		return Account{}, unsupported("a Token2 wants no PIN for single accounts")
	case a.Counter != 0:
		return Account{}, unsupported("the counter of an account on a Token2 begins with 0")
	}
	e := token2.Entry{Timed: p.Kind == otp.TOTP, SHA256: p.Hash == otp.SHA256, Period: uint16(p.Period), Digits: byte(p.Digits), Button: a.Touch, App: a.Issuer, Account: a.Name}
	made := ofEntry(e)
	if !a.Overwrite {
		list, err := t.List(ctx)
		if err != nil {
			return Account{}, err
		}
		for _, old := range list {
			if old.ID == made.ID {
				return Account{}, ErrExists
			}
		}
	}
	if err := t.s.Write(ctx, &e, seed); err != nil {
		return Account{}, ofToken2(err)
	}
	return made, nil
}

// Delete implements [Token].
func (t *Token2) Delete(ctx context.Context, a Account) error {
	e, ok := a.driver.(*token2.Entry)
	if !ok {
		return ErrNotFound
	}
	return ofToken2(t.s.Delete(ctx, e))
}

// Rename implements [Token].
func (t *Token2) Rename(context.Context, Account, string, string) (Account, error) {
	return Account{}, unsupported("a Token2 cannot rename an account; delete it and add it anew")
}

// Protect implements [Token].
func (t *Token2) Protect(context.Context, []byte) error {
	return unsupported("the accounts of a Token2 have no access code")
}

// Reset implements [Token].
func (t *Token2) Reset(context.Context) error {
	return unsupported("the accounts of a Token2 are reset with its maker's program")
}
