package seedfile

import (
	"bytes"
	"math"
	"strings"

	"github.com/fobd/fobd/tokens/otp"
)

// readCSV reads OATH's CSV: serial, seed in hexadecimal, H or T, digits, then the counter of an event token or the
// period of a time token. The length of the seed says the hash function; a sixth column, which LinOTP has, says it
// too. "# version: 2" puts user, resolver and realm in front.
func readCSV(l *lines, c *collector) error {
	version2, first := false, true
	for l.next() {
		if l.text[0] == '#' {
			version := strings.Join(strings.Fields(strings.ToLower(string(l.text[1:min(len(l.text), 40)]))), "")
			version2 = version2 || version == "version:2"
			continue
		}
		f, account := fields(split(l.text)), ""
		if version2 {
			if len(f) < 5 {
				if err := c.refuse(l.line, "", "too few columns for version 2; want user,resolver,realm,serial,seed"); err != nil {
					return err
				}
				continue
			}
			account, f = string(f[0]), f[3:]
		}
		header := first && isHeader(f)
		first = false
		if header {
			continue
		}
		t, reason := csvToken(f)
		t.Line, t.Account = l.line, account
		if err := c.take(t, reason); err != nil {
			return err
		}
	}
	return nil
}

// take adds a token, or refuses it for a reason that its reader found.
func (c *collector) take(t Token, reason string) error {
	if reason == "" {
		return c.add(t)
	}
	t.Wipe()
	return c.refuse(t.Line, t.Serial, reason)
}

func isHeader(f fields) bool {
	switch strings.ToLower(string(f.at(1))) {
	case "key", "seed", "secret", "secret key", "otpkey":
		return true
	}
	return false
}

func csvToken(f fields) (t Token, reason string) {
	if len(f) < 2 || len(f.at(0)) == 0 {
		return t, "no serial or no seed; want serial,seed,type,digits,counter or period"
	}
	t.Serial = string(f.at(0))
	switch strings.ToUpper(string(f.at(2))) {
	case "", "H", "HOTP":
		t.Params.Kind = otp.HOTP
	case "T", "TOTP":
		t.Params.Kind = otp.TOTP
	case "O", "OCRA", "OCRA-1":
		t.Params.Kind, t.Params.Suite = otp.OCRA, string(f.at(3))
	default:
		return t, "a type that is not known in column 3; want H (HOTP), T (TOTP) or OCRA"
	}
	if t.Seed, reason = decodeHex(f.at(1)); reason != "" {
		return t, reason
	}
	if t.Params.Kind == otp.OCRA {
		return t, ""
	}
	t.Params.Hash = hashOfSeed(t.Seed)
	if name := f.at(5); len(name) > 0 {
		var ok bool
		if t.Params.Hash, ok = hashNamed(string(name)); !ok {
			return t, "a hash function that is not known in column 6; want sha1, sha256 or sha512"
		}
	}
	return t, csvNumbers(&t, f)
}

// csvNumbers reads the columns of digits and of the counter or the period.
func csvNumbers(t *Token, f fields) string {
	if digits := f.at(3); len(digits) > 0 {
		n, ok := number(digits, otp.MaxDigits)
		if !ok || n == 0 {
			return "column 4 is no number of digits; want 6 to 10"
		}
		t.Params.Digits = int(n)
	}
	last := f.at(4)
	if len(last) == 0 {
		return ""
	}
	if t.Params.Kind == otp.HOTP {
		n, ok := number(last, math.MaxUint64)
		if !ok {
			return "column 5 is no counter"
		}
		t.Counter = n
		return ""
	}
	n, ok := number(last, otp.MaxPeriod)
	if !ok || n == 0 {
		return "column 5 is no period; want seconds"
	}
	t.Params.Period = int64(n)
	return ""
}

// looksYubico tells Yubico's columns from OATH's: the second is empty and the fourth is the key.
func looksYubico(f fields) bool {
	return len(f) >= 4 && (len(f.at(1)) == 0 || len(f) >= 6 && isModhex(f.at(1))) && len(f.at(3)) >= 2*otp.MinSeed
}

// isModhex says that a text is a public identity of Yubico's OTP.
func isModhex(b []byte) bool {
	return len(b) > 0 && len(bytes.Trim(b, "cbdefghijklnrtuv")) == 0
}

// readYubico reads Yubico's CSV: serial, public identity, private identity, key, access code, date. With an empty
// public and 0 as the private identity the slot is HOTP. Which slot is not said.
func readYubico(l *lines, c *collector) error {
	for l.next() {
		if l.text[0] == '#' {
			continue
		}
		f := fields(split(l.text))
		t := Token{Line: l.line, Serial: string(f.at(0)), Manufacturer: "Yubico", Params: otp.Parameters{Kind: otp.HOTP}}
		var reason string
		switch {
		case len(f) < 4 || t.Serial == "":
			reason = "too few columns; want serial,,0,key,,date,"
		case len(f[1]) == 0 && len(f[2]) == 0:
			reason = "a static password, which is no token; remove the line"
		case len(f[1]) != 0 || string(f[2]) != "0":
			reason = "Yubico's own OTP, which is not OATH; configure the slot for OATH-HOTP"
		default:
			t.Seed, reason = decodeHex(f[3])
		}
		if err := c.take(t, reason); err != nil {
			return err
		}
	}
	return nil
}
