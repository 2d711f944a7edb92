package accounts

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/fobd/fobd/tokens/oath"
)

// OATH is a [Token] that is an OATH applet.
type OATH struct {
	s *oath.Session
	o Options
}

// OpenOATH selects the applet of a card. model is what is known of it; extended that card and reader take extended APDUs.
func OpenOATH(ctx context.Context, card oath.Card, model oath.Model, extended bool, o Options) (*OATH, error) {
	options := oath.Options{Model: model, Extended: extended, Touch: o.Touch, LastTry: o.LastTry}
	if o.Ask != nil {
		options.Ask = func(ctx context.Context, i oath.Info) ([]byte, error) {
			return o.Ask(ctx, Question{Protection(i.Protection), i.Tries})
		}
	}
	s, err := oath.Select(ctx, card, options)
	if err != nil {
		return nil, ofOATH(err)
	}
	return &OATH{s, o}, nil
}

// kinds are the errors of package oath, and which of this package's they are.
var kinds = []struct{ of, kind error }{
	{oath.ErrNoApplet, ErrNoAccounts},
	{oath.ErrLocked, ErrLocked},
	{oath.ErrTouch, ErrTouch},
	{oath.ErrWrongCode, ErrWrong},
	{oath.ErrBlocked, ErrBlocked},
	{oath.ErrLastTry, ErrLastTry},
	{oath.ErrNotFound, ErrNotFound},
	{oath.ErrExists, ErrExists},
	{oath.ErrFull, ErrFull},
	{oath.ErrUnsupported, ErrUnsupported},
	{oath.ErrName, ErrUnsupported},
	{oath.ErrPrefix, ErrExists},
	{oath.ErrArgument, ErrUnsupported},
}

func ofOATH(err error) error {
	for _, k := range kinds {
		if errors.Is(err, k.of) {
			return &Error{k.kind, err}
		}
	}
	return err
}

// About implements [Token].
func (t *OATH) About() About {
	i := t.s.Info()
	return About{Way: "oath", Version: i.Version.String(), Serial: i.Serial, Protection: Protection(i.Protection), Tries: i.Tries}
}

func ofCredential(c oath.Credential) Account {
	a := Account{
		ID: c.ID, Issuer: c.Issuer, Name: c.Account, Kind: Kind(c.Kind), Hash: c.Hash, Digits: c.Digits, Period: c.Period,
		Touch: c.Touch == oath.TouchAlways, PIN: c.PIN, Hidden: c.Hidden(), driver: c,
	}
	if !a.Kind.Codes() && a.Kind != Password {
		a.Kind = Other
	}
	return a
}

// credential is the driver's account again.
func credential(a Account) (oath.Credential, error) {
	c, ok := a.driver.(oath.Credential)
	if !ok {
		return c, ErrNotFound
	}
	return c, nil
}

// List implements [Token].
func (t *OATH) List(ctx context.Context) ([]Account, error) {
	list, err := t.s.List(ctx)
	if err != nil {
		return nil, ofOATH(err)
	}
	accounts := make([]Account, len(list))
	for i, c := range list {
		accounts[i] = ofCredential(c)
	}
	return accounts, nil
}

// Reveal implements [Token].
func (t *OATH) Reveal(ctx context.Context) ([]Account, error) {
	i := t.s.Info()
	if i.Protection == oath.ProtectionPIN && !i.Unlocked {
		if t.o.Ask == nil {
			return nil, ErrLocked
		}
		pin, err := t.o.Ask(ctx, Question{PIN, i.Tries})
		if err != nil {
			return nil, err
		}
		defer clear(pin)
		if err := t.s.Unlock(ctx, pin); err != nil {
			return nil, ofOATH(err)
		}
	}
	return t.List(ctx)
}

// Read implements [Token].
func (t *OATH) Read(ctx context.Context, at time.Time) ([]Reading, error) {
	list, err := t.s.CalculateAll(ctx, at)
	if err != nil {
		return nil, ofOATH(err)
	}
	readings := make([]Reading, len(list))
	for i, r := range list {
		readings[i] = Reading{ofCredential(r.Credential), ofCode(r.Code)}
		readings[i].Touch = readings[i].Touch || readings[i].Code.Need == NeedTouch
	}
	return readings, nil
}

func ofCode(c oath.Code) Code {
	code := Code{Value: c.Value, From: c.From, Until: c.Until}
	switch c.Need {
	case oath.NeedTouch:
		code.Need = NeedTouch
	case oath.NeedCount:
		code.Need = NeedCount
	case oath.NeedPIN:
		code.Need = NeedPIN
	}
	return code
}

// Code implements [Token].
func (t *OATH) Code(ctx context.Context, a Account, at time.Time) (Code, error) {
	c, err := credential(a)
	if err != nil {
		return Code{}, err
	}
	code, err := t.s.Calculate(ctx, c, at)
	return ofCode(code), ofOATH(err)
}

// Add implements [Token].
func (t *OATH) Add(ctx context.Context, a New, seed []byte) (Account, error) {
	c, err := t.s.Put(ctx, oath.Account{
		Issuer: a.Issuer, Account: a.Name, Params: a.Params, Counter: a.Counter, Touch: a.Touch, PIN: a.PIN, Overwrite: a.Overwrite,
	}, seed)
	if err != nil {
		return Account{}, ofOATH(err)
	}
	return ofCredential(c), nil
}

// Delete implements [Token].
func (t *OATH) Delete(ctx context.Context, a Account) error {
	c, err := credential(a)
	if err != nil {
		return err
	}
	return ofOATH(t.s.Delete(ctx, c))
}

// Rename implements [Token].
func (t *OATH) Rename(ctx context.Context, a Account, issuer, name string) (Account, error) {
	c, err := credential(a)
	if err != nil {
		return Account{}, err
	}
	renamed, err := t.s.Rename(ctx, c, issuer, name)
	if err != nil {
		return Account{}, ofOATH(err)
	}
	return ofCredential(renamed), nil
}

// Protect implements [Token].
func (t *OATH) Protect(ctx context.Context, secret []byte) error {
	i := t.s.Info()
	switch {
	case i.Protection == oath.ProtectionPIN && len(secret) == 0:
		return unsupported("the PIN cannot be taken away, only changed; a reset of the accounts ends it")
	case i.Protection == oath.ProtectionPIN:
		if t.o.Ask == nil {
			return ErrLocked
		}
		old, err := t.o.Ask(ctx, Question{PIN, i.Tries})
		if err != nil {
			return err
		}
		defer clear(old)
		return ofOATH(t.s.ChangePIN(ctx, old, secret))
	case i.Model == oath.ModelNitrokey && len(secret) == 0:
		return ofOATH(oath.ErrNotProtected)
	case i.Model == oath.ModelNitrokey:
		return ofOATH(t.s.SetPIN(ctx, secret))
	case len(secret) == 0:
		return ofOATH(t.s.RemoveCode(ctx))
	}
	return ofOATH(t.s.SetCode(ctx, secret))
}

// Reset implements [Token].
func (t *OATH) Reset(ctx context.Context) error { return ofOATH(t.s.Reset(ctx)) }

// Model says which kind of applet it is.
func (t *OATH) Model() oath.Model { return cmp.Or(t.s.Info().Model, oath.ModelYubiKey) }
