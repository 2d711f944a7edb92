package applet

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// The kinds, in the upper half of the type.
const (
	kindMask byte = 0xF0
	kindHOTP byte = 0x10
	kindTOTP byte = 0x20
)

// maxDigits is the most that 31 bits have.
const maxDigits = 10

// find returns the entry of a name, nil for none.
func (a *Applet) find(name []byte) *Entry {
	for i := range a.state.Entries {
		if bytes.Equal(a.state.Entries[i].Name, name) {
			return &a.state.Entries[i]
		}
	}
	return nil
}

// target is the entry that PUT of a YubiKey replaces. Before 4.3.5 that is one whose name begins the same, too.
func (a *Applet) target(name []byte) *Entry {
	if e := a.find(name); e != nil || a.cfg.Personality != YubiKey || a.cfg.Version.Before(4, 0, 0) || !a.cfg.Version.Before(4, 3, 5) {
		return e
	}
	for i := range a.state.Entries {
		if bytes.HasPrefix(a.state.Entries[i].Name, name) {
			return &a.state.Entries[i]
		}
	}
	return nil
}

func (a *Applet) put(_ context.Context, c apdu.Command) answer {
	e, good := a.parsePut(c.Data)
	if !good {
		return status(apdu.ErrWrongData)
	}
	if a.cfg.FIPS && a.state.Code == nil {
		return status(apdu.ErrSecurityStatus)
	}
	old := a.target(e.Name)
	switch {
	case old != nil && !a.traits.overwrites:
		return status(apdu.ErrConditionsNotSatisfied)
	case old != nil:
		a.change()
		name := old.Name // of the longer one, with the fault of target
		old.wipe()
		*old = e
		old.Name = name
		return ok(nil)
	case len(a.state.Entries) >= a.cfg.Capacity:
		return status(apdu.ErrNoSpace)
	}
	a.change()
	a.state.Entries = append(a.state.Entries, e)
	return ok(nil)
}

// parsePut reads an entry. What it returns shares nothing with b.
func (a *Applet) parsePut(b []byte) (Entry, bool) {
	name, b, err := oath.CutTLV(b)
	if err != nil || name.Tag != oath.TagName || len(name.Value) == 0 || len(name.Value) > a.traits.maxName {
		return Entry{}, false
	}
	key, b, err := oath.CutTLV(b)
	if err != nil || key.Tag != oath.TagKey || len(key.Value) < 3 {
		return Entry{}, false
	}
	e := Entry{Type: key.Value[0], Digits: key.Value[1]}
	secret := key.Value[2:]
	_, known := hashOf(e.Type)
	kind := e.Type & kindMask
	switch {
	case !known || e.Type&0x0F == 3 && !a.sha512():
		return Entry{}, false
	case kind != kindHOTP && kind != kindTOTP:
		return Entry{}, false
	case len(secret) < a.traits.minKey || len(secret) > a.traits.maxKey:
		return Entry{}, false
	case a.cfg.Personality == CanoKey && (e.Digits < 4 || e.Digits > 8), e.Digits < 1 || e.Digits > maxDigits:
		return Entry{}, false
	}
	// The property has no length: tag and value.
	if len(b) >= 2 && b[0] == oath.TagProperty {
		e.Properties, b = b[1], b[2:]
		switch {
		case !a.traits.touches:
			e.Properties &= oath.PropertyIncreasing // it takes all and knows one
		case e.Properties&^(oath.PropertyIncreasing|oath.PropertyTouch) != 0:
			return Entry{}, false
		}
	}
	if len(b) > 0 {
		imf, rest, err := oath.CutTLV(b)
		if err != nil || imf.Tag != oath.TagIMF || len(imf.Value) != 4 || len(rest) > 0 || kind != kindHOTP {
			return Entry{}, false
		}
		e.Counter = uint64(binary.BigEndian.Uint32(imf.Value))
	}
	e.Name, e.Key = slices.Clone(name.Value), slices.Clone(secret)
	return e, true
}

// named reads a command's data that begin with the name of an entry.
func (a *Applet) named(b []byte) (e *Entry, rest []byte, sw apdu.SW) {
	name, rest, err := oath.CutTLV(b)
	if err != nil || name.Tag != oath.TagName || len(name.Value) == 0 {
		return nil, nil, apdu.ErrWrongData
	}
	if e = a.find(name.Value); e == nil {
		return nil, nil, swNoSuchObject
	}
	return e, rest, apdu.OK
}

func (a *Applet) delete(_ context.Context, c apdu.Command) answer {
	e, rest, sw := a.named(c.Data)
	if sw == apdu.OK && len(rest) > 0 {
		sw = apdu.ErrWrongData
	}
	if sw != apdu.OK {
		return status(sw)
	}
	a.remove(e.Name)
	return ok(nil)
}

func (a *Applet) remove(name []byte) {
	a.change()
	name = slices.Clone(name)
	a.state.Entries = slices.DeleteFunc(a.state.Entries, func(e Entry) bool {
		if !bytes.Equal(e.Name, name) {
			return false
		}
		e.wipe()
		return true
	})
}

func (a *Applet) rename(_ context.Context, c apdu.Command) answer {
	v, good := fields(c.Data, oath.TagName, oath.TagName)
	if !good || len(v[1]) == 0 || len(v[1]) > a.traits.maxName {
		return status(apdu.ErrWrongData)
	}
	if a.find(v[1]) != nil {
		return status(apdu.ErrConditionsNotSatisfied) // CanoKey's; the YubiKey's is not known
	}
	e := a.find(v[0])
	if e == nil {
		return status(swNoSuchObject)
	}
	a.change()
	e.Name = slices.Clone(v[1])
	return ok(nil)
}

func (a *Applet) list(context.Context, apdu.Command) answer {
	r := answer{sw: apdu.OK}
	for _, e := range a.state.Entries {
		r.data = oath.AppendTLV(r.data, oath.TagNameList, append([]byte{e.Type}, e.Name...))
		r.cuts = append(r.cuts, len(r.data))
	}
	return r
}
