package seedfile

import (
	"bytes"
	"fmt"
	"math"

	"github.com/fobd/fobd/tokens/otp"
)

// readTokens reads SafeNet's and Gemalto's XML: Tokens/Token serial="…" with Applications/Application, each with
// Seed in hexadecimal and MovingFactor. They are event tokens of 6 digits; the length of the seed says the hash.
func readTokens(x *xmlReader, c *collector) error {
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
		if n.name.Local == "Token" && n.name.Space == "" {
			t, reason := tokensToken(n)
			err = c.take(t, reason)
		}
		n.wipe()
		if err != nil {
			return err
		}
	}
}

func tokensToken(n *node) (t Token, reason string) {
	t = Token{Line: n.line, Serial: n.attribute("serial"), Params: otp.Parameters{Kind: otp.HOTP}}
	t.Model = n.get("", "ProductName").string()
	if t.Model == "" {
		t.Model = n.get("", "Model").string()
	}
	if t.Serial == "" {
		return t, "a token without serial"
	}
	applications := n.get("", "Applications")
	if applications == nil {
		return t, "it has no Applications"
	}
	for _, a := range applications.child {
		if a.name.Local != "Application" || a.name.Space != "" {
			continue
		}
		var seed []byte
		if s := a.get("", "Seed"); s != nil {
			seed, reason = decodeHex(bytes.TrimSpace(s.text))
		} else {
			reason = "an application without Seed"
		}
		if reason != "" {
			return t, reason
		}
		// Zeros in front are lost where a seed was once a number: whole bytes of them show in the length.
		if len(seed)%4 != 0 {
			clear(seed)
			return t, fmt.Sprintf("a seed of %d bytes, which no vendor makes: zeros were lost; ask the vendor for the file again", len(seed))
		}
		// A token has an Application for each server that it was sold for, with the same seed.
		if t.Seed != nil && !bytes.Equal(t.Seed, seed) {
			clear(seed)
			return t, "two applications with different seeds; remove one"
		}
		clear(t.Seed)
		t.Seed = seed
		if factor := a.get("", "MovingFactor").string(); factor != "" {
			counter, ok := number([]byte(factor), math.MaxUint64)
			if !ok {
				return t, "its MovingFactor is no counter"
			}
			t.Counter = max(t.Counter, counter)
		}
	}
	if t.Seed == nil {
		return t, "it has no Application"
	}
	t.Params.Hash = hashOfSeed(t.Seed)
	return t, ""
}
