package applet

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// maxChallenge is the longest challenge that is answered.
const maxChallenge = 64

func (a *Applet) calculate(ctx context.Context, c apdu.Command) answer {
	e, rest, sw := a.named(c.Data)
	if sw != apdu.OK {
		return status(sw)
	}
	challenge, good := a.challengeFor(e, rest)
	if !good {
		return status(apdu.ErrWrongData)
	}
	if e.Properties&oath.PropertyTouch != 0 && !a.touched(ctx, oath.CmdCalculate, e.Name) {
		return status(apdu.ErrSecurityStatus)
	}
	if e.Type&kindMask == kindHOTP {
		if challenge, good = a.count(e); !good {
			return status(apdu.ErrConditionsNotSatisfied)
		}
	} else if !a.increases(e, challenge) {
		return status(apdu.ErrSecurityStatus)
	}
	return ok(a.response(e, challenge, c.P2 == 1, nil))
}

// challengeFor reads the challenge. HOTP has none of its own: what stands there is not looked at.
func (a *Applet) challengeFor(e *Entry, b []byte) ([]byte, bool) {
	if e.Type&kindMask == kindHOTP {
		return nil, true
	}
	t, rest, err := oath.CutTLV(b)
	if err != nil || t.Tag != oath.TagChallenge || len(rest) > 0 {
		return nil, false
	}
	n := len(t.Value)
	return t.Value, n > 0 && n <= maxChallenge && (a.cfg.Personality != CanoKey || n <= 8)
}

// count takes the next counter of HOTP.
func (a *Applet) count(e *Entry) ([]byte, bool) {
	// A YubiKey counts to 32 bits; what comes then is not known. Others have 64.
	last := uint64(math.MaxUint64)
	if a.cfg.Personality == YubiKey {
		last = math.MaxUint32
	}
	if e.Counter == last {
		return nil, false
	}
	a.change()
	counter := e.Counter
	e.Counter++
	if a.traits.countsFirst {
		counter = e.Counter
	}
	return binary.BigEndian.AppendUint64(nil, counter), true
}

// increases enforces the property that challenges must not go back.
func (a *Applet) increases(e *Entry, challenge []byte) bool {
	if e.Properties&oath.PropertyIncreasing == 0 {
		return true
	}
	pad := func(b []byte) []byte { return append(make([]byte, maxChallenge-len(b)), b...) }
	if bytes.Compare(pad(challenge), pad(e.Last)) < 0 {
		return false
	}
	a.change()
	e.Last = slices.Clone(challenge)
	return true
}

// response appends what an entry answers to a challenge.
func (a *Applet) response(e *Entry, challenge []byte, truncated bool, b []byte) []byte {
	h, _ := hashOf(e.Type)
	sum := mac(h, e.Key, challenge)
	if !truncated {
		return oath.AppendTLV(b, oath.TagResponse, append([]byte{e.Digits}, sum...))
	}
	v := truncate(sum)
	if a.traits.reduced {
		v = reduce(v, e.Digits)
	}
	return oath.AppendTLV(b, oath.TagTruncated, binary.BigEndian.AppendUint32([]byte{e.Digits}, v))
}

// truncate is RFC 4226, section 5.3.
func truncate(sum []byte) uint32 {
	at := sum[len(sum)-1] & 0xF
	return binary.BigEndian.Uint32(sum[at:]) & 0x7FFFFFFF
}

func reduce(v uint32, digits byte) uint32 {
	modulo := uint64(1)
	for range digits {
		modulo *= 10
	}
	return uint32(uint64(v) % modulo)
}

func (a *Applet) calculateAll(_ context.Context, c apdu.Command) answer {
	v, good := fields(c.Data, oath.TagChallenge)
	if !good || len(v[0]) == 0 || len(v[0]) > maxChallenge || a.cfg.Personality == CanoKey && len(v[0]) > 8 {
		return status(apdu.ErrWrongData)
	}
	r := answer{sw: apdu.OK}
	for i := range a.state.Entries {
		e := &a.state.Entries[i]
		r.data = oath.AppendTLV(r.data, oath.TagName, e.Name)
		switch {
		case e.Type&kindMask == kindHOTP:
			r.data = oath.AppendTLV(r.data, oath.TagNoResponse, []byte{e.Digits})
		case e.Properties&oath.PropertyTouch != 0:
			r.data = oath.AppendTLV(r.data, oath.TagTouch, []byte{e.Digits})
		case !a.increases(e, v[0]):
			return status(apdu.ErrSecurityStatus)
		default:
			r.data = a.response(e, v[0], c.P2 == 1, r.data)
		}
		r.cuts = append(r.cuts, len(r.data))
	}
	return r
}
