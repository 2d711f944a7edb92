package slots

import "fmt"

// The bits of a status's flags.
const (
	statusValid1 = 1 << iota
	statusValid2
	statusTouch1
	statusTouch2
	statusLEDInverted
)

// statusMask are the flags that say something of configurations.
const statusMask = 0x1F

// Status is what an idle key says.
type Status struct {
	Version Version
	// Sequence counts changes of the configuration since the key was plugged in. It is 0 when no slot is configured.
	Sequence byte
	// Flags are the low byte of what Yubico calls the touch level.
	Flags byte
	// Level is its high byte.
	Level byte
}

// ParseStatus reads the status of an idle key. The error is an [ErrMalformed].
func ParseStatus(r Report) (Status, error) {
	if r[7] != 0 {
		return Status{}, fmt.Errorf("%w: status %02x of an idle key", ErrMalformed, r[7])
	}
	return Status{Version: Version(r[1:4]), Sequence: r[4], Flags: r[5], Level: r[6]}, nil
}

// Report is the report that says so.
func (s Status) Report() Report {
	return Report{1: s.Version[0], 2: s.Version[1], 3: s.Version[2], 4: s.Sequence, 5: s.Flags, 6: s.Level}
}

// Use is what a slot is configured for, as far as the key tells.
type Use string

// The uses.
const (
	UseEmpty Use = "empty"
	// UseChallenge is a slot that answers challenges without a touch.
	UseChallenge Use = "challenge-response"
	// UseTouch is a slot that acts at a touch: it types a code or a password, or answers challenges.
	UseTouch Use = "touch"
	// UseUnknown is a configured slot of a firmware before 3.0, or any of one before 2.1.
	UseUnknown Use = "unknown"
)

// Use says what a slot is configured for.
func (s Status) Use(slot Slot) Use {
	valid, touch := byte(statusValid1), byte(statusTouch1)
	if slot == Slot2 {
		valid, touch = statusValid2, statusTouch2
	}
	switch {
	case !slot.Valid() || !s.Version.AtLeast(2, 1, 0):
		return UseUnknown
	case s.Flags&valid == 0:
		return UseEmpty
	case !s.Version.AtLeast(3, 0, 0):
		return UseUnknown
	case s.Flags&touch != 0:
		return UseTouch
	}
	return UseChallenge
}

// LEDInverted says that the light is on when the key is idle.
func (s Status) LEDInverted() bool { return s.Flags&statusLEDInverted != 0 }

// accepted says whether the key has taken a change: its count went on by one, or to 0 because nothing is configured any
// more.
func (s Status) accepted(before byte) bool {
	return s.Sequence == before+1 || before > 0 && s.Sequence == 0 && s.Flags&statusMask == 0
}
