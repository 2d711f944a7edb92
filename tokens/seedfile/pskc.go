package seedfile

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fobd/fobd/tokens/otp"
)

const nsPSKC = "urn:ietf:params:xml:ns:keyprov:pskc"

// readPSKC reads a KeyContainer (RFC 6030, section 4). A signature of the file is not looked at.
func readPSKC(x *xmlReader, root *node, c *collector) error {
	if v := root.attribute("Version"); v != "1.0" && v != "1" {
		return x.failf("a PSKC version that is not known; want 1.0")
	}
	k := &keys{o: c.o}
	defer k.wipe()
	packages := false
	for {
		n, err := x.next()
		if err != nil {
			return err
		}
		if n == nil {
			return x.end()
		}
		if err := x.fill(n); err != nil {
			return err
		}
		if n.name.Space == nsPSKC {
			switch n.name.Local {
			case "EncryptionKey", "MACMethod": // section 4.1: they come first
				if packages {
					return x.failf("%s behind a KeyPackage", n.name.Local)
				}
				err = k.method(n)
			case "KeyPackage":
				packages = true
				err = keyPackage(n, k, c)
			}
		}
		n.wipe()
		if err != nil {
			return err
		}
	}
}

func keyPackage(n *node, k *keys, c *collector) error {
	for _, key := range n.child {
		if key.name.Space != nsPSKC || key.name.Local != "Key" || algorithmOf(key) == "pin" {
			continue // a PIN is a key of its own (section 5.1); it is not kept
		}
		t, reason, err := pskcToken(n, key, k)
		if err != nil {
			t.Wipe()
			return err
		}
		if reason == reasonMAC || reason == reasonKey {
			c.badMACs++
		}
		if err := c.take(t, reason); err != nil {
			return err
		}
	}
	return nil
}

// algorithmOf is the last part of the algorithm's name, hotp or alike; empty for one that is not known.
func algorithmOf(key *node) string {
	name := key.attribute("Algorithm")
	for _, prefix := range []string{nsPSKC + ":", "http://www.ietf.org/keyprov/pskc#"} {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			return strings.ToLower(strings.TrimPrefix(short, "#"))
		}
	}
	return ""
}

func pskcToken(pack, key *node, k *keys) (t Token, reason string, err error) {
	info := pack.get(nsPSKC, "DeviceInfo")
	t = Token{
		Line:         pack.line,
		Serial:       info.get(nsPSKC, "SerialNo").string(),
		Manufacturer: info.get(nsPSKC, "Manufacturer").string(),
		Model:        info.get(nsPSKC, "Model").string(),
		Issuer:       key.get(nsPSKC, "Issuer").string(),
		Account:      key.get(nsPSKC, "UserId").string(),
	}
	if t.Serial == "" {
		t.Serial = key.attribute("Id")
	}
	if t.Account == "" {
		t.Account = info.get(nsPSKC, "UserId").string()
	}
	if t.Serial == "" {
		return t, "neither SerialNo nor a key with an Id", nil
	}
	switch algorithmOf(key) {
	case "hotp":
		t.Params.Kind = otp.HOTP
	case "totp":
		t.Params.Kind = otp.TOTP
	case "ocra", "ocra-1":
		t.Params.Kind = otp.OCRA
	default:
		return t, "an algorithm that is not known; want hotp, totp or ocra-1", nil
	}
	for _, f := range []func() string{
		func() string { return t.parameters(key.get(nsPSKC, "AlgorithmParameters")) },
		func() string { return t.dates(info) },
		func() string { return t.policy(key.get(nsPSKC, "Policy")) },
	} {
		if reason = f(); reason != "" {
			return t, reason, nil
		}
	}
	reason, err = t.data(key.get(nsPSKC, "Data"), k)
	return t, reason, err
}

// parameters reads AlgorithmParameters (section 4.3.4).
func (t *Token) parameters(n *node) string {
	suite := n.get(nsPSKC, "Suite").string()
	if suite == "" {
		suite = n.get(nsPSKC, "Suite").attribute("hashalgo")
	}
	response, challenge := n.get(nsPSKC, "ResponseFormat"), n.get(nsPSKC, "ChallengeFormat")
	for _, f := range []*node{response, challenge} {
		for _, name := range []string{"CheckDigits", "CheckDigit"} {
			switch f.attribute(name) {
			case "", "false", "0":
			default:
				return "its codes have check digits, which are not known"
			}
		}
	}
	if t.Params.Kind == otp.OCRA {
		t.Params.Suite = suite
		return ""
	}
	if suite != "" {
		var ok bool
		if t.Params.Hash, ok = hashNamed(suite); !ok {
			return "a Suite that is not known; want HMAC-SHA1, HMAC-SHA256 or HMAC-SHA512"
		}
	}
	if e := response.attribute("Encoding"); e != "" && e != "DECIMAL" {
		return "its codes are not decimal"
	}
	if length := response.attribute("Length"); length != "" {
		digits, ok := number([]byte(length), otp.MaxDigits)
		if !ok || digits == 0 {
			return "its ResponseFormat has no length from 6 to 10"
		}
		t.Params.Digits = int(digits)
	}
	return ""
}

// policy reads Policy (section 5). What is in it and not understood must not be taken as allowed.
func (t *Token) policy(n *node) string {
	if n == nil {
		return ""
	}
	var usage []string
	for _, c := range n.child {
		if c.name.Space != nsPSKC {
			return "a policy that is not known"
		}
		switch c.name.Local {
		case "StartDate", "ExpiryDate":
		case "KeyUsage":
			usage = append(usage, c.string())
		case "PINPolicy":
			// Local: the token wants the PIN itself. Else a code alone would not do.
			if mode := c.attribute("PINUsageMode"); mode != "" && mode != "Local" {
				return "its codes have a PIN in them (PINUsageMode), which is not supported"
			}
		default: // NumberOfTransactions too: it could not be kept to
			return "a policy that is not known; ask the vendor for a file without it"
		}
	}
	want := "OTP"
	if t.Params.Kind == otp.OCRA {
		want = "CR"
	}
	if len(usage) > 0 && !slices.Contains(usage, want) && !slices.Contains(usage, "OTP") {
		return "its policy does not allow codes (KeyUsage)"
	}
	return t.dates(n)
}

// dates reads StartDate and ExpiryDate, and keeps the tighter ones.
func (t *Token) dates(n *node) string {
	for _, d := range []struct {
		name    string
		to      *time.Time
		tighter func(a, b time.Time) bool
	}{{"StartDate", &t.Start, time.Time.After}, {"ExpiryDate", &t.Expiry, time.Time.Before}} {
		text := n.get(nsPSKC, d.name).string()
		if text == "" {
			continue
		}
		when, ok := parseTime(text)
		if !ok {
			return "its " + d.name + " is no date"
		}
		if d.to.IsZero() || d.tighter(when, *d.to) {
			*d.to = when
		}
	}
	return ""
}

func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// maxDrift is, in seconds, from where on an offset is not a clock that is off but another start of counting.
const maxDrift = 366 * 24 * 60 * 60

// data reads Data (section 4.3.3). Time and TimeDrift are in time steps, not in seconds.
func (t *Token) data(n *node, k *keys) (reason string, err error) {
	secret := n.get(nsPSKC, "Secret")
	if secret == nil {
		return "it has no secret in the file", nil
	}
	t.Seed, reason, err = k.secret(secret)
	if reason != "" || err != nil {
		return reason, err
	}
	ints := map[string]int64{}
	for _, name := range []string{"Time", "TimeInterval", "TimeDrift"} {
		if ints[name], reason, err = k.integer(n.get(nsPSKC, name), name); reason != "" || err != nil {
			return reason, err
		}
	}
	counter, reason, err := k.counter(n.get(nsPSKC, "Counter"))
	if reason != "" || err != nil {
		return reason, err
	}
	if t.Params.Kind != otp.TOTP {
		t.Counter = counter
		return "", nil
	}
	if ints["TimeInterval"] < 0 || ints["TimeInterval"] > otp.MaxPeriod {
		return fmt.Sprintf("a TimeInterval of %d s", ints["TimeInterval"]), nil
	}
	t.Params.Period = ints["TimeInterval"]
	t.Drift = ints["TimeDrift"]
	period := t.Params.Default().Period
	// Vendors write 0 or an offset. A large one is the step at which the file was made and says nothing.
	if offset := ints["Time"]; offset > -maxDrift/period && offset < maxDrift/period {
		t.Drift += offset
	}
	if t.Drift > math.MaxInt32*2 || t.Drift < -math.MaxInt32*2 {
		return "a TimeDrift that no clock has", nil
	}
	if t.Drift < -maxDrift/period || t.Drift > maxDrift/period {
		t.Params.Epoch, t.Drift = -t.Drift*period, 0
	}
	return "", nil
}
