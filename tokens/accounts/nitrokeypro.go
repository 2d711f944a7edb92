package accounts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fobd/fobd/tokens/nitrokeypro"
	"github.com/fobd/fobd/tokens/otp"
)

// NitrokeyPro is a [Token] that is a Nitrokey Pro or Storage.
type NitrokeyPro struct {
	d       *nitrokeypro.Device
	o       Options
	version string
	serial  uint32
	user    []byte // temporary password, once there is one
}

// OpenNitrokeyPro looks at a device, and tells it the time.
func OpenNitrokeyPro(ctx context.Context, dev nitrokeypro.FeatureReports, o Options) (*NitrokeyPro, error) {
	t := &NitrokeyPro{d: nitrokeypro.New(dev), o: o}
	var err error
	if t.version, t.serial, err = t.d.Status(ctx); err != nil {
		return nil, ofPro(err)
	}
	return t, nil
}

func ofPro(err error) error {
	for _, k := range []struct{ of, kind error }{
		{nitrokeypro.ErrNotProgrammed, ErrNotFound},
		{nitrokeypro.ErrWrongPIN, ErrWrong},
		{nitrokeypro.ErrNotAuthorized, ErrLocked},
		{nitrokeypro.ErrArgument, ErrUnsupported},
	} {
		if errors.Is(err, k.of) {
			return &Error{k.kind, err}
		}
	}
	return err
}

// About implements [Token].
func (t *NitrokeyPro) About() About {
	return About{Way: "nitrokey-pro", Version: t.version, Serial: strconv.FormatUint(uint64(t.serial), 16), Tries: -1, Unseen: true}
}

// List implements [Token].
func (t *NitrokeyPro) List(ctx context.Context) ([]Account, error) {
	var list []Account
	err := t.each(func(number byte) error {
		s, err := t.d.Read(ctx, number)
		if errors.Is(err, nitrokeypro.ErrNotProgrammed) {
			return nil
		}
		if err == nil {
			list = append(list, ofSlot(s))
		}
		return err
	})
	return list, ofPro(err)
}

// each visits the numbers of all slots.
func (t *NitrokeyPro) each(visit func(number byte) error) error {
	for n := range byte(nitrokeypro.HOTPSlots + nitrokeypro.TOTPSlots) {
		number := nitrokeypro.FirstHOTP + n
		if n >= nitrokeypro.HOTPSlots {
			number = nitrokeypro.FirstTOTP + n - nitrokeypro.HOTPSlots
		}
		if err := visit(number); err != nil {
			return err
		}
	}
	return nil
}

func ofSlot(s *nitrokeypro.Slot) Account {
	a := Account{ID: fmt.Sprintf("slot %02x", s.Number), Name: s.Name, Kind: HOTP, Hash: otp.SHA1, Digits: 6, Period: s.Period, driver: s}
	if issuer, name, ok := strings.Cut(s.Name, ":"); ok && issuer != "" && name != "" {
		a.Issuer, a.Name = issuer, name
	}
	if s.Period > 0 {
		a.Kind = TOTP
	}
	if s.Eight {
		a.Digits = 8
	}
	return a
}

// Reveal implements [Token]: names are never hidden.
func (t *NitrokeyPro) Reveal(ctx context.Context) ([]Account, error) { return t.List(ctx) }

// Read implements [Token].
func (t *NitrokeyPro) Read(ctx context.Context, at time.Time) ([]Reading, error) {
	list, err := t.List(ctx)
	if err != nil {
		return nil, err
	}
	var readings []Reading
	for _, a := range list {
		r := Reading{Account: a, Code: Code{Need: NeedCount}}
		if a.Kind == TOTP {
			switch r.Code, err = t.code(ctx, a, at); {
			case errors.Is(err, ErrLocked):
				r.Code = Code{Need: NeedPIN}
				r.PIN = true
			case err != nil:
				return nil, err
			}
		}
		readings = append(readings, r)
	}
	return readings, nil
}

// code reads a code without asking anybody.
func (t *NitrokeyPro) code(ctx context.Context, a Account, at time.Time) (Code, error) {
	s, ok := a.driver.(*nitrokeypro.Slot)
	if !ok {
		return Code{}, ErrNotFound
	}
	var c Code
	if s.Period > 0 {
		if err := t.d.SetTime(ctx, at, false); err != nil && !errors.Is(err, nitrokeypro.ErrTimestamp) {
			return c, ofPro(err)
		}
		p := otp.Parameters{Kind: otp.TOTP, Period: s.Period}
		step, ok := p.Step(at)
		if !ok {
			return c, fmt.Errorf("accounts: a time before 1970")
		}
		c.From, c.Until = p.Starts(step), p.Starts(step+1)
	}
	var err error
	c.Value, err = t.d.Code(ctx, s, at, t.user)
	return c, ofPro(err)
}

// Code implements [Token].
func (t *NitrokeyPro) Code(ctx context.Context, a Account, at time.Time) (Code, error) {
	c, err := t.code(ctx, a, at)
	if !errors.Is(err, ErrLocked) || t.user != nil {
		return c, err
	}
	if t.user, err = t.authenticate(ctx, false); err != nil {
		return c, err
	}
	return t.code(ctx, a, at)
}

// authenticate asks for a PIN, and spends a try that the person has typed; never the last one without being told to.
func (t *NitrokeyPro) authenticate(ctx context.Context, admin bool) ([]byte, error) {
	left, err := t.d.Retries(ctx, admin)
	switch {
	case err != nil:
		return nil, ofPro(err)
	case left == 0:
		return nil, ErrBlocked
	case left == 1 && !t.o.LastTry:
		return nil, ErrLastTry
	case t.o.Ask == nil:
		return nil, ErrLocked
	}
	pin, err := t.o.Ask(ctx, Question{PIN, left})
	if err != nil {
		return nil, err
	}
	defer clear(pin)
	password, err := t.d.Authenticate(ctx, admin, pin)
	return password, ofPro(err)
}

// Add implements [Token].
func (t *NitrokeyPro) Add(ctx context.Context, a New, seed []byte) (Account, error) {
	p := a.Params.Default()
	name := a.Name
	if a.Issuer != "" {
		name = a.Issuer + ":" + a.Name
	}
	switch {
	case p.Kind != otp.HOTP && p.Kind != otp.TOTP, p.Hash != otp.SHA1, p.Digits != 6 && p.Digits != 8:
		return Account{}, unsupported("a Nitrokey Pro makes codes of HOTP and TOTP with SHA-1 and 6 or 8 digits only")
	case len(name) > nitrokeypro.NameSize:
		return Account{}, unsupported("the name %q has %d bytes, and there is room for %d; give a shorter one", name, len(name), nitrokeypro.NameSize)
	case len(seed) > nitrokeypro.SecretSize:
		return Account{}, unsupported("the secret has %d bytes, and there is room for %d", len(seed), nitrokeypro.SecretSize)
	case a.Touch || a.PIN:
		return Account{}, unsupported("a Nitrokey Pro wants neither a touch nor a PIN for single accounts")
	}
	s := &nitrokeypro.Slot{Name: name, Eight: p.Digits == 8, Counter: a.Counter}
	first, count := byte(nitrokeypro.FirstHOTP), byte(nitrokeypro.HOTPSlots)
	if p.Kind == otp.TOTP {
		first, count, s.Period = nitrokeypro.FirstTOTP, nitrokeypro.TOTPSlots, p.Period
	}
	for number := first; number < first+count; number++ {
		old, err := t.d.Read(ctx, number)
		switch {
		case errors.Is(err, nitrokeypro.ErrNotProgrammed):
			if s.Number == 0 {
				s.Number = number
			}
		case err != nil:
			return Account{}, ofPro(err)
		case old.Name == name && !a.Overwrite:
			return Account{}, ErrExists
		case old.Name == name:
			s.Number = number
		}
	}
	if s.Number == 0 {
		return Account{}, ErrFull
	}
	password, err := t.authenticate(ctx, true)
	if err != nil {
		return Account{}, err
	}
	defer clear(password)
	if err := t.d.Write(ctx, s, seed, password); err != nil {
		return Account{}, ofPro(err)
	}
	return ofSlot(s), nil
}

// Delete implements [Token].
func (t *NitrokeyPro) Delete(ctx context.Context, a Account) error {
	s, ok := a.driver.(*nitrokeypro.Slot)
	if !ok {
		return ErrNotFound
	}
	password, err := t.authenticate(ctx, true)
	if err != nil {
		return err
	}
	defer clear(password)
	return ofPro(t.d.Erase(ctx, s.Number, password))
}

// Rename implements [Token].
func (t *NitrokeyPro) Rename(context.Context, Account, string, string) (Account, error) {
	return Account{}, unsupported("a Nitrokey Pro cannot rename an account; delete it and add it anew")
}

// Protect implements [Token].
func (t *NitrokeyPro) Protect(context.Context, []byte) error {
	return unsupported("the PINs of a Nitrokey Pro are changed with its maker's program, or gpg")
}

// Reset implements [Token].
func (t *NitrokeyPro) Reset(context.Context) error {
	return unsupported("a Nitrokey Pro is reset with its maker's program")
}
