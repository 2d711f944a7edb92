package applet

import (
	"context"
	"crypto/hmac"
	"slices"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/u2f/apdu"
)

// maxCodeKey bounds the key of an access code, which has 16 bytes.
const maxCodeKey = 64

// minChallenge is the least for the device to answer in VALIDATE.
const minChallenge = 8

func (a *Applet) selectOATH() answer {
	a.run.unlocked, a.run.keyed, a.run.challenge = false, false, nil
	b := oath.AppendTLV(nil, oath.TagVersion, a.cfg.Version[:])
	if a.cfg.Personality == Nitrokey {
		return ok(a.selectNitrokey(b))
	}
	b = oath.AppendTLV(b, oath.TagName, a.state.Salt)
	if a.state.Code == nil {
		return ok(b)
	}
	challenge, err := a.random()
	if err != nil {
		return status(swMemory)
	}
	a.run.challenge = challenge
	b = oath.AppendTLV(b, oath.TagChallenge, challenge)
	if a.traits.tellsCode {
		b = oath.AppendTLV(b, oath.TagAlgorithm, []byte{algorithm(a.state.Code.Hash)})
	}
	return ok(b)
}

func algorithm(h otp.Hash) byte {
	for n := byte(1); ; n++ {
		if is, known := hashOf(n); is == h || !known {
			return n
		}
	}
}

func (c *AccessCode) mac(message []byte) []byte { return mac(c.Hash, c.Key, message) }

func mac(h otp.Hash, key, message []byte) []byte {
	m := hmac.New(h.New(), key)
	m.Write(message)
	return m.Sum(nil)
}

// fields takes a command's data apart, which must be TLVs with these tags in this order.
func fields(b []byte, tags ...byte) ([][]byte, bool) {
	tlvs, err := oath.ParseTLVs(b)
	if err != nil || len(tlvs) != len(tags) {
		return nil, false
	}
	values := make([][]byte, len(tags))
	for i, t := range tlvs {
		if t.Tag != tags[i] {
			return nil, false
		}
		values[i] = t.Value
	}
	return values, true
}

func (a *Applet) validate(_ context.Context, c apdu.Command) answer {
	if a.state.Code == nil {
		return status(swNoSuchObject)
	}
	v, good := fields(c.Data, oath.TagResponse, oath.TagChallenge)
	if !good || len(v[1]) < minChallenge || a.run.challenge == nil {
		return status(apdu.ErrWrongData)
	}
	if !hmac.Equal(v[0], a.state.Code.mac(a.run.challenge)) {
		return status(apdu.ErrWrongData)
	}
	a.run.unlocked = true
	return ok(oath.AppendTLV(nil, oath.TagResponse, a.state.Code.mac(v[1])))
}

func (a *Applet) setCode(_ context.Context, c apdu.Command) answer {
	if v, good := fields(c.Data, oath.TagKey); len(c.Data) == 0 || good && len(v[0]) == 0 {
		if a.cfg.FIPS {
			return status(apdu.ErrConditionsNotSatisfied) // the word for it is not known
		}
		a.change()
		a.state.Code = nil
		return ok(nil)
	}
	v, good := fields(c.Data, oath.TagKey, oath.TagChallenge, oath.TagResponse)
	if !good || len(v[0]) < 2 || len(v[0]) > 1+maxCodeKey || len(v[1]) == 0 {
		return status(apdu.ErrWrongData)
	}
	// ykman writes the type of TOTP before the hash; a zero there was seen to be taken as well.
	h, known := hashOf(v[0][0])
	if a.traits.codeSHA1 {
		h, known = otp.SHA1, true
	}
	if !known || h == otp.SHA512 && !a.sha512() {
		return status(apdu.ErrWrongData)
	}
	code := &AccessCode{h, slices.Clone(v[0][1:])}
	if !hmac.Equal(v[2], code.mac(v[1])) {
		return status(swNoSuchObject)
	}
	a.change()
	a.state.Code = code
	a.run.unlocked = !a.traits.locksOnSetCode
	return ok(nil)
}

// sha512 says whether the firmware has it.
func (a *Applet) sha512() bool {
	return a.traits.sha512 && !a.cfg.Version.Before(4, 3, 1)
}

func (a *Applet) reset(context.Context, apdu.Command) answer {
	salt, err := a.random()
	if err != nil {
		return status(swMemory)
	}
	a.change()
	a.state.Wipe()
	a.state.Salt = salt
	a.run.challenge, a.run.unlocked = nil, false
	return ok(nil)
}
