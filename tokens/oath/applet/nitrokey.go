package applet

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// The secrets app of the Nitrokey 3, as of trussed-secrets-app 0.14.

// Kinds that only it has.
const (
	kindReverse  byte = 0x30
	kindHMAC     byte = 0x40
	kindPassword byte = 0xF0
)

const (
	maxField = 127
	pinTries = 8
	// hmacKey is how long the key of an HMAC entry is.
	hmacKey = 20
	// verifyAhead is how many counters VERIFY CODE looks at, and verifyWait how long it refuses after a wrong code.
	verifyAhead = 10
	verifyWait  = 5 * time.Second
)

func (a *Applet) selectNitrokey(b []byte) []byte {
	if p := a.state.PIN; p != nil {
		b = oath.AppendTLV(b, oath.TagTries, []byte{byte(p.Tries)})
	} else {
		b = oath.AppendTLV(b, oath.TagName, a.state.Salt)
	}
	return oath.AppendTLV(b, oath.TagSerial, binary.BigEndian.AppendUint32(nil, a.cfg.Serial))
}

// nitrokey is the table of commands of the secrets app. They are known by CLA, INS, P1 and P2 together.
func (a *Applet) nitrokey(ctx context.Context, c apdu.Command) answer {
	switch [3]byte{c.INS, c.P1, c.P2} {
	case [3]byte{1, 0x10, 0}:
		return ok(binary.BigEndian.AppendUint32(nil, a.cfg.Serial))
	case [3]byte{1, 0x30, 0}:
		return a.respond("HmacSlot1", c.Data)
	case [3]byte{1, 0x38, 0}:
		return a.respond("HmacSlot2", c.Data)
	case [3]byte{byte(oath.CmdSetCode), 0, 0}: // the status of Yubico's slots, and SET CODE, which is not there
		if len(c.Data) > 0 {
			return status(apdu.ErrConditionsNotSatisfied)
		}
		return ok(append(a.cfg.Version[:], 0x42, 0x42, 0x42))
	case [3]byte{byte(oath.CmdReset), 0xDE, 0xAD}:
		if !a.touched(ctx, oath.CmdReset, nil) {
			return status(apdu.ErrSecurityStatus)
		}
		return a.reset(ctx, c)
	case [3]byte{byte(oath.CmdCalculate), 0, 1}:
		return a.nitrokeyCalculate(ctx, c)
	}
	if c.P1 != 0 || c.P2 != 0 {
		return status(apdu.ErrInsNotSupported)
	}
	switch oath.Cmd(c.INS) {
	case oath.CmdPut:
		return a.nitrokeyPut(ctx, c)
	case oath.CmdDelete:
		return a.nitrokeyDelete(ctx, c)
	case oath.CmdList:
		return a.nitrokeyList(c)
	case oath.CmdVerifyCode:
		return a.verifyCode(ctx, c)
	case oath.CmdVerifyPIN:
		return a.verifyPIN(ctx, c)
	case oath.CmdChangePIN:
		return a.changePIN(ctx, c)
	case oath.CmdSetPIN:
		return a.setPIN(ctx, c)
	case oath.CmdGetCredential:
		return a.getCredential(ctx, c)
	case oath.CmdUpdate:
		return a.update(ctx, c)
	case oath.CmdValidate, oath.CmdSendRemaining:
		return status(apdu.ErrConditionsNotSatisfied)
	}
	return status(apdu.ErrInsNotSupported) // CALCULATE ALL and RENAME, too
}

// open finds an entry that the command may use: what is encrypted with the PIN is not there without it.
func (a *Applet) open(name []byte) *Entry {
	e := a.find(name)
	if e == nil || e.Properties&oath.PropertyPIN != 0 && !a.run.keyed {
		return nil
	}
	return e
}

// openFor reads the name in front of a command's data and finds the entry, with a touch if it wants one.
func (a *Applet) openFor(ctx context.Context, cmd oath.Cmd, data []byte) (e *Entry, rest []byte, sw apdu.SW) {
	name, rest, err := oath.CutTLV(data)
	if err != nil || name.Tag != oath.TagName {
		return nil, nil, apdu.ErrWrongData
	}
	if e = a.open(name.Value); e == nil {
		return nil, nil, apdu.ErrNotFound
	}
	if e.Properties&(oath.PropertyTouch|oath.PropertyPIN) == oath.PropertyTouch && !a.touched(ctx, cmd, e.Name) {
		return nil, nil, apdu.ErrSecurityStatus
	}
	return e, rest, apdu.OK
}

func (a *Applet) nitrokeyCalculate(ctx context.Context, c apdu.Command) answer {
	e, rest, sw := a.openFor(ctx, oath.CmdCalculate, c.Data)
	if sw != apdu.OK {
		return status(sw)
	}
	t, rest, err := oath.CutTLV(rest)
	if err != nil || t.Tag != oath.TagChallenge || len(rest) > 0 {
		return status(apdu.ErrWrongData)
	}
	challenge := t.Value
	switch e.Type & kindMask {
	case kindTOTP:
	case kindHOTP:
		if e.Counter >= math.MaxUint32 {
			return status(swExecution)
		}
		challenge = binary.BigEndian.AppendUint64(nil, e.Counter)
		a.change()
		e.Counter++
	default:
		return status(apdu.ErrConditionsNotSatisfied)
	}
	return ok(a.response(e, challenge, true, nil))
}

// verifyCode is VERIFY CODE, for reverse HOTP.
func (a *Applet) verifyCode(ctx context.Context, c apdu.Command) answer {
	if !a.run.missed.IsZero() && time.Since(a.run.missed) < verifyWait {
		return status(apdu.ErrSecurityStatus)
	}
	a.run.missed = time.Now()
	e, rest, sw := a.openFor(ctx, oath.CmdVerifyCode, c.Data)
	if sw != apdu.OK {
		return status(sw)
	}
	v, good := fields(rest, oath.TagResponse)
	switch {
	case !good || len(v[0]) != 4:
		return status(apdu.ErrWrongData)
	case e.Type&kindMask != kindReverse:
		return status(apdu.ErrConditionsNotSatisfied)
	}
	h, _ := hashOf(e.Type)
	for counter := e.Counter; counter < e.Counter+verifyAhead; counter++ {
		if counter >= math.MaxUint32 {
			return status(swExecution)
		}
		sum := mac(h, e.Key, binary.BigEndian.AppendUint64(nil, counter))
		if reduce(truncate(sum), e.Digits) == binary.BigEndian.Uint32(v[0]) {
			a.change()
			e.Counter = counter + 1
			a.run.missed = time.Time{}
			return ok(oath.AppendTLV(nil, oath.TagNoResponse, nil))
		}
	}
	return status(swVerifyFailed)
}

// respond is the challenge-response of KeePassXC: a challenge filled up to 64 bytes by PKCS #7.
func (a *Applet) respond(name string, data []byte) answer {
	n := len(data)
	if n != 64 || data[n-1] == 0 || int(data[n-1]) >= n {
		return status(apdu.ErrWrongData)
	}
	pad := int(data[n-1])
	for _, b := range data[n-pad:] {
		if int(b) != pad {
			return status(apdu.ErrWrongData)
		}
	}
	e := a.open([]byte(name))
	switch {
	case e == nil:
		return status(apdu.ErrNotFound)
	case e.Type&kindMask != kindHMAC:
		return status(apdu.ErrWrongData)
	}
	h, _ := hashOf(e.Type)
	return ok(mac(h, e.Key, data[:n-pad]))
}

func (a *Applet) nitrokeyList(c apdu.Command) answer {
	version := byte(0)
	if len(c.Data) > 0 && !a.cfg.Version.Before(4, 11, 0) {
		version = c.Data[0]
	}
	r := answer{sw: apdu.OK}
	for _, e := range a.state.Entries {
		if a.open(e.Name) == nil {
			continue
		}
		v := append([]byte{e.Type}, e.Name...)
		if version == 1 {
			v = append(v, e.properties())
		}
		// The length has one byte, also above 127.
		r.data = append(append(r.data, oath.TagNameList, byte(len(v))), v...)
		r.cuts = append(r.cuts, len(r.data))
	}
	return r
}

// properties is the last byte of an entry in a list.
func (e *Entry) properties() byte {
	var p byte
	if e.Properties&oath.PropertyTouch != 0 {
		p |= 1
	}
	if e.Properties&oath.PropertyPIN != 0 {
		p |= 2
	}
	if len(e.Login)+len(e.Password)+len(e.Metadata) > 0 {
		p |= 4
	}
	return p
}

func (a *Applet) nitrokeyDelete(ctx context.Context, c apdu.Command) answer {
	v, good := fields(c.Data, oath.TagName)
	switch {
	case !good:
		return status(apdu.ErrWrongData)
	case !a.touched(ctx, oath.CmdDelete, v[0]):
		return status(apdu.ErrSecurityStatus)
	case a.open(v[0]) == nil:
		return status(apdu.ErrNotFound)
	}
	a.remove(v[0])
	return ok(nil)
}

func (a *Applet) getCredential(ctx context.Context, c apdu.Command) answer {
	e, _, sw := a.openFor(ctx, oath.CmdGetCredential, c.Data)
	if sw != apdu.OK {
		return status(sw)
	}
	b := oath.AppendTLV(nil, oath.TagProperty, []byte{e.Type})
	for _, f := range []oath.TLV{
		{Tag: oath.TagName, Value: e.Name},
		{Tag: oath.TagLogin, Value: e.Login},
		{Tag: oath.TagPassword, Value: e.Password},
		{Tag: oath.TagMetadata, Value: e.Metadata},
	} {
		if len(f.Value) > 0 {
			b = oath.AppendTLV(b, f.Tag, f.Value)
		}
	}
	return ok(b)
}

func (a *Applet) update(ctx context.Context, c apdu.Command) answer {
	tlvs, err := oath.ParseTLVs(c.Data)
	if err != nil || len(tlvs) == 0 || tlvs[0].Tag != oath.TagName || len(tlvs[0].Value) == 0 {
		return status(apdu.ErrWrongData)
	}
	for _, t := range tlvs[1:] {
		limit := maxField
		switch t.Tag {
		case oath.TagProperty: // here it has a length
			if len(t.Value) != 1 {
				return status(apdu.ErrWrongData)
			}
		case oath.TagName, oath.TagLogin, oath.TagPassword, oath.TagMetadata:
		default:
			return status(apdu.ErrWrongData)
		}
		if len(t.Value) == 0 || len(t.Value) > limit {
			return status(apdu.ErrWrongData)
		}
	}
	if a.cfg.Version.Before(4, 13, 0) {
		return status(apdu.ErrInsNotSupported)
	}
	if !a.touched(ctx, oath.CmdUpdate, tlvs[0].Value) {
		return status(apdu.ErrSecurityStatus)
	}
	for _, t := range tlvs[1:] {
		if t.Tag == oath.TagName && a.find(t.Value) != nil {
			return status(apdu.ErrAuthMethodBlocked)
		}
	}
	e := a.open(tlvs[0].Value)
	switch {
	case e == nil:
		return status(apdu.ErrNotFound)
	case e.Type&kindMask == kindReverse:
		return status(apdu.ErrConditionsNotSatisfied) // the word for it is not known
	}
	a.change()
	for _, t := range tlvs[1:] {
		v := slices.Clone(t.Value)
		switch t.Tag {
		case oath.TagProperty:
			e.Properties = v[0]
		case oath.TagName:
			e.Name = v
		case oath.TagLogin:
			e.Login = v
		case oath.TagPassword:
			e.Password = v
		case oath.TagMetadata:
			e.Metadata = v
		}
	}
	return ok(nil)
}
