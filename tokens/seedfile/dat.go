package seedfile

import (
	"bytes"
	"strings"

	"github.com/fobd/fobd/tokens/otp"
)

// safeWordEpoch is 2000-01-01, where SafeWord's time tokens begin to count.
const safeWordEpoch = 946684800

// datRecord is a record as its lines come.
type datRecord struct {
	token  Token
	reason string
	data   bool // sccTokenData was seen
}

// readDat reads SafeWord's records, which eToken has too: lines "name: value", of which sccTokenData has
// sccKey=…;sccMode=E|T;sccPwLen=6;sccTick=30. A record begins with "dn:" and ends with the next one.
func readDat(l *lines, c *collector) error {
	var r datRecord
	end := func() error {
		if r.token.Line == 0 {
			return nil
		}
		if r.reason == "" && r.token.Serial == "" {
			r.reason = "a record without sccAuthenticatorId"
		}
		if r.reason == "" && !r.data {
			r.reason = "a record without sccTokenData"
		}
		return c.take(r.token, r.reason)
	}
	for l.next() {
		if l.text[0] == '#' {
			continue
		}
		name, value, _ := bytes.Cut(l.text, []byte(":"))
		value = bytes.TrimSpace(value)
		key := strings.ToLower(string(bytes.TrimSpace(name)))
		// A record without "dn:" begins with its id, or with its data.
		if key == "dn" || r.token.Line == 0 || key == "sccauthenticatorid" && r.token.Serial != "" && r.data {
			if err := end(); err != nil {
				return err
			}
			r = datRecord{token: Token{Line: l.line}}
		}
		r.attribute(key, value)
	}
	if err := end(); err != nil {
		return err
	}
	return nil
}

func (r *datRecord) attribute(key string, value []byte) {
	switch key {
	case "sccauthenticatorid":
		if r.token.Serial != "" && r.token.Serial != string(value) {
			r.reason = "two serials in one record"
		}
		r.token.Serial = string(value)
	case "scctokentype":
		r.token.Model = string(value)
	case "scctokendata":
		if r.data {
			r.reason = "sccTokenData twice in one record"
			return
		}
		r.data = true
		if reason := r.token.datData(value); reason != "" {
			r.reason = reason
		}
	}
}

// datData reads the value of sccTokenData.
func (t *Token) datData(value []byte) (reason string) {
	t.Params.Hash = otp.SHA1
	var mode string
	var key []byte
	var tick uint64 = 30
	for part := range bytes.SplitSeq(value, []byte(";")) {
		name, v, _ := bytes.Cut(part, []byte("="))
		v = bytes.TrimSpace(v)
		ok := true
		switch strings.ToLower(string(bytes.TrimSpace(name))) {
		case "scckey":
			ok, key = key == nil, v
		case "sccmode":
			mode = strings.ToUpper(string(v))
		case "sccpwlen":
			var n uint64
			n, ok = number(v, otp.MaxDigits)
			t.Params.Digits = int(n)
		case "scctick":
			tick, ok = number(v, otp.MaxPeriod)
			ok = ok && tick > 0
		case "crypto":
			t.Params.Hash, ok = hashNamed(string(v))
		}
		if !ok {
			return "a value of sccTokenData that is not understood; want sccKey once, sccPwLen=6, sccTick=30, crypto=HmacSHA256 or alike"
		}
	}
	switch mode {
	case "E":
		t.Params.Kind = otp.HOTP
	case "T":
		t.Params.Kind, t.Params.Period, t.Params.Epoch = otp.TOTP, int64(tick), safeWordEpoch
	default:
		return "no sccMode, or none that is known; want E (event) or T (time)"
	}
	t.Seed, reason = decodeHex(key)
	return reason
}
