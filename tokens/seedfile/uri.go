package seedfile

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/fobd/fobd/tokens/otp"
)

// readURIs reads otpauth and otpauth-migration URIs, one a line.
func readURIs(l *lines, c *collector) error {
	var batches batches
	for l.next() {
		if l.text[0] == '#' {
			continue
		}
		var err error
		if hasPrefixFold(l.text, migrationScheme) {
			err = batches.line(l, c)
		} else {
			t, reason := parseURI(string(l.text))
			t.Line = l.line
			err = c.take(t, reason)
		}
		if err != nil {
			return err
		}
	}
	if l.err != nil {
		return l.err
	}
	return batches.complete()
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// ParseURI reads one otpauth URI. The token has no serial.
func ParseURI(uri string) (Token, error) {
	c := newCollector(Options{})
	t, reason := parseURI(strings.TrimSpace(uri))
	if err := c.take(t, reason); err != nil {
		return Token{}, err
	}
	if len(c.result.Refused) > 0 {
		return Token{}, fmt.Errorf("seedfile: the URI: %s", c.result.Refused[0].Reason)
	}
	return c.result.Tokens[0], nil
}

func parseURI(text string) (t Token, reason string) {
	const want = "not an otpauth URI; want otpauth://totp/ISSUER:ACCOUNT?secret=BASE32"
	if len(text) > maxLine {
		return t, want
	}
	u, err := url.Parse(text) // its errors have the whole text, and so the seed
	if err != nil || !strings.EqualFold(u.Scheme, "otpauth") || u.User != nil || u.Fragment != "" {
		return t, want
	}
	query, reason := queryOf(u.RawQuery)
	if reason != "" {
		return t, reason
	}
	switch strings.ToLower(u.Host) {
	case "totp":
		t.Params.Kind = otp.TOTP
	case "hotp":
		t.Params.Kind = otp.HOTP
	case "steam":
		t.Params.Kind = otp.Steam
	default:
		return t, want
	}
	if strings.EqualFold(query["encoder"], "steam") && t.Params.Kind == otp.TOTP {
		t.Params.Kind = otp.Steam
	} else if query["encoder"] != "" {
		return t, "an encoder that is not known; want steam or none"
	}
	t.label(strings.TrimPrefix(u.Path, "/"), strings.TrimSpace(query["issuer"]))
	return t, t.query(query)
}

// label reads "issuer:account". The issuer that is said apart wins.
func (t *Token) label(label, issuer string) {
	if account, ok := strings.CutPrefix(label, issuer+":"); ok && issuer != "" {
		t.Issuer, t.Account = issuer, strings.TrimSpace(account)
		return
	}
	if issuer != "" {
		defer func() { t.Issuer = issuer }()
	}
	if issuer, account, ok := strings.Cut(label, ":"); ok {
		t.Issuer, t.Account = strings.TrimSpace(issuer), strings.TrimSpace(account)
		return
	}
	t.Account = strings.TrimSpace(label)
}

// queryOf reads parameters, each of which must be there once: two readers could take different ones.
func queryOf(raw string) (map[string]string, string) {
	query := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(name, "data") || strings.EqualFold(name, "secret") {
			value = strings.ReplaceAll(value, "+", "%2B") // a plus of base64, not a space
		}
		value, err := url.QueryUnescape(value)
		name = strings.ToLower(name)
		if _, twice := query[name]; err != nil || twice {
			return nil, "a parameter of the URI is there twice or is badly escaped"
		}
		if len(query) > 50 {
			return nil, "too many parameters"
		}
		query[name] = value
	}
	return query, ""
}

func (t *Token) query(query map[string]string) (reason string) {
	numberOf := func(name string, most uint64) uint64 {
		text, ok := query[name]
		if !ok || text == "" {
			return 0
		}
		n, ok := number([]byte(text), most)
		if !ok || n == 0 && name != "counter" {
			reason = "the URI's " + name + " is no number, or too large"
		}
		return n
	}
	t.Params.Digits = int(numberOf("digits", otp.MaxDigits))
	if t.Params.Kind == otp.HOTP {
		if query["counter"] == "" {
			return "an hotp URI without counter; add counter=0 if the token is new"
		}
		t.Counter = numberOf("counter", math.MaxUint64)
	} else {
		t.Params.Period = int64(numberOf("period", otp.MaxPeriod))
	}
	if name := query["algorithm"]; name != "" {
		var ok bool
		if t.Params.Hash, ok = hashNamed(name); !ok {
			return "the URI's algorithm is not known; want SHA1, SHA256 or SHA512"
		}
	}
	if reason != "" {
		return reason
	}
	t.Seed, reason = decodeBase32(query["secret"])
	return reason
}

// decodeBase32 takes lower case, spaces, dashes and padding.
func decodeBase32(text string) (seed []byte, reason string) {
	if len(text) > 4*otp.MaxSeed {
		return nil, "its secret is too long"
	}
	letters := make([]byte, 0, len(text))
	for _, b := range []byte(strings.TrimRight(text, "= ")) {
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		if b != ' ' && b != '-' && b != '+' {
			letters = append(letters, b)
		}
	}
	defer clear(letters)
	seed = make([]byte, base32.StdEncoding.WithPadding(base32.NoPadding).DecodedLen(len(letters)))
	n, err := base32.StdEncoding.WithPadding(base32.NoPadding).Decode(seed, letters)
	switch {
	case len(letters) == 0:
		return nil, "it has no secret"
	case err != nil:
		clear(seed)
		return nil, "its secret is not base32"
	}
	return seed[:n], ""
}

// URI is the token as an otpauth URI, with the seed in it: it is a secret. It is empty for what no URI can say: OCRA,
// and a clock that does not count from 1970. A drift, and when the token may be used, are left out.
func (t Token) URI() string {
	if t.Params.Kind == otp.OCRA || t.Params.Epoch != 0 || len(t.Seed) == 0 {
		return ""
	}
	p := t.Params.Default()
	kind := string(p.Kind)
	query := "secret=" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(t.Seed)
	label := uriEscape(t.Account)
	if t.Account == "" {
		label = uriEscape(t.Serial)
	}
	if t.Issuer != "" {
		label = uriEscape(t.Issuer) + ":" + label
		query += "&issuer=" + uriEscape(t.Issuer)
	}
	switch p.Kind {
	case otp.Steam:
		kind, query = string(otp.TOTP), query+"&encoder=steam"
	case otp.HOTP:
		query += "&counter=" + strconv.FormatUint(t.Counter, 10)
	}
	if p.Kind != otp.Steam {
		query += "&algorithm=" + string(p.Hash) + "&digits=" + strconv.Itoa(p.Digits)
	}
	if p.Kind != otp.HOTP {
		query += "&period=" + strconv.FormatInt(p.Period, 10)
	}
	return "otpauth://" + kind + "/" + label + "?" + query
}

// uriEscape escapes a text for a path and for a query: %20 for a space, which every reader knows.
func uriEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
