package seedfile

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/fobd/fobd/tokens/otp"
)

// Token is one token of a file. It has a secret: wipe it when done.
type Token struct {
	Serial       string // empty in formats that have none: URIs and users files
	Manufacturer string
	Model        string
	Issuer       string
	Account      string // a hint whose it is
	Params       otp.Parameters
	// Seed is the shared secret. Printing or encoding a Token never shows it.
	Seed []byte
	// Counter is the next one, for HOTP and OCRA.
	Counter uint64
	// Drift is how far the token's clock is ahead, in time steps (RFC 6030, section 4.3.4: TimeDrift).
	Drift int64
	// Start and Expiry bound its use; zero for no bound.
	Start, Expiry time.Time
	// Line is where it stood in the file, from 1.
	Line int
}

// Wipe overwrites the seed.
func (t *Token) Wipe() {
	clear(t.Seed)
	t.Seed = nil
}

const hidden = "[secret]"

// String describes the token without its seed.
func (t Token) String() string {
	return fmt.Sprintf("{%s %q seed=%s line=%d}", t.Params.Kind, t.Serial, hidden, t.Line)
}

// Format prints what String says, for every verb.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// LogValue is for slog.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("serial", t.Serial), slog.String("kind", string(t.Params.Kind)),
		slog.String("seed", hidden), slog.Int("line", t.Line))
}

// MarshalJSON has all but the seed.
func (t Token) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Serial       string         `json:"serial,omitempty"`
		Manufacturer string         `json:"manufacturer,omitempty"`
		Model        string         `json:"model,omitempty"`
		Issuer       string         `json:"issuer,omitempty"`
		Account      string         `json:"account,omitempty"`
		Params       otp.Parameters `json:"params"`
		Seed         string         `json:"seed"`
		Counter      uint64         `json:"counter,omitempty"`
		Drift        int64          `json:"drift,omitempty"`
		Start        time.Time      `json:"start,omitzero"`
		Expiry       time.Time      `json:"expiry,omitzero"`
		Line         int            `json:"line,omitempty"`
	}{
		t.Serial, t.Manufacturer, t.Model, t.Issuer, t.Account, t.Params, hidden, t.Counter, t.Drift, t.Start, t.Expiry, t.Line,
	})
}
