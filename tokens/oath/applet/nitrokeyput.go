package applet

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// nitrokeyPut is PUT of the secrets app.
func (a *Applet) nitrokeyPut(ctx context.Context, c apdu.Command) answer {
	e, sw := a.parseNitrokeyPut(c.Data)
	switch {
	case sw != apdu.OK:
		return status(sw)
	case e.Properties&(oath.PropertyTouch|oath.PropertyPIN) == oath.PropertyTouch && !a.touched(ctx, oath.CmdPut, e.Name):
		return status(apdu.ErrSecurityStatus)
	case len(a.state.Entries) >= a.cfg.Capacity:
		return status(apdu.ErrNoSpace)
	case a.find(e.Name) != nil:
		return status(apdu.ErrAuthMethodBlocked)
	case e.Type&kindMask == kindReverse && !a.run.keyed, e.Properties&oath.PropertyPIN != 0 && !a.run.keyed:
		return status(apdu.ErrSecurityStatus)
	}
	a.change()
	a.state.Entries = append(a.state.Entries, e)
	return ok(nil)
}

// parseNitrokeyPut reads an entry: name, key, [property], [counter], [fields].
func (a *Applet) parseNitrokeyPut(b []byte) (Entry, apdu.SW) {
	name, b, err := oath.CutTLV(b)
	if err != nil || name.Tag != oath.TagName || len(name.Value) == 0 || len(name.Value) > a.traits.maxName {
		return Entry{}, apdu.ErrWrongData
	}
	key, b, err := oath.CutTLV(b)
	if err != nil || key.Tag != oath.TagKey || len(key.Value) < 3 || len(key.Value) > 2+a.traits.maxKey {
		return Entry{}, apdu.ErrWrongData
	}
	e := Entry{Type: key.Value[0], Digits: key.Value[1], Name: slices.Clone(name.Value), Key: slices.Clone(key.Value[2:])}
	kind := e.Type & kindMask
	switch hash := e.Type & 0x0F; {
	case hash == 3:
		return Entry{}, apdu.ErrFuncNotSupported
	case hash != 1 && hash != 2, e.Digits > maxDigits:
		return Entry{}, apdu.ErrWrongData
	case kind == kindHMAC && (hash != 1 || len(e.Key) != hmacKey):
		return Entry{}, apdu.ErrWrongData
	}
	switch kind {
	case kindHOTP, kindTOTP, kindReverse, kindHMAC, kindPassword:
	default:
		return Entry{}, apdu.ErrWrongData
	}
	// No length here, as in YKOATH.
	if len(b) >= 2 && b[0] == oath.TagProperty {
		e.Properties, b = b[1]&(oath.PropertyTouch|oath.PropertyPIN), b[2:]
	}
	return e, e.extras(kind, b)
}

// extras reads what is behind the key and the property of PUT.
func (e *Entry) extras(kind byte, b []byte) apdu.SW {
	tlvs, err := oath.ParseTLVs(b)
	if err != nil {
		return apdu.ErrWrongData
	}
	for i, t := range tlvs {
		v := slices.Clone(t.Value)
		switch {
		case t.Tag == oath.TagIMF && i == 0 && len(v) == 4 && (kind == kindHOTP || kind == kindReverse):
			e.Counter = uint64(binary.BigEndian.Uint32(v))
		case len(v) == 0 || len(v) > maxField:
			return apdu.ErrWrongData
		case t.Tag == oath.TagLogin:
			e.Login = v
		case t.Tag == oath.TagPassword:
			e.Password = v
		case t.Tag == oath.TagMetadata:
			e.Metadata = v
		default:
			return apdu.ErrWrongData
		}
	}
	return apdu.OK
}
