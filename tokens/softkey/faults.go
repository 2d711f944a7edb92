package softkey

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fobd/fobd/ctap2"
)

// Faults are what an emulated key does wrong, or otherwise than its profile says, so that a client
// under test meets it. The zero value is a key without any. A fault is written as its name or as
// name=value, see [FaultNames]; [ParseFaults] reads that. Faults below CTAP, of single reports, are
// the transport's: their names begin with "report-", see package hid.
type Faults struct {
	// Statuses, Responses, Garbled, Truncated, Hangs and Slow are about whole commands. The first
	// that is about a command and has not run out is what happens.
	Statuses  []StatusFault   // "status": the command is not carried out but answered so
	Responses []ResponseFault // "response": the same with these bytes
	Garbled   []CommandFault  // "garble": carried out; the answer is no CBOR
	Truncated []CommandFault  // "truncate": carried out; half of the answer is missing
	Hangs     []CommandFault  // "hang": never answered, until it is cancelled or the power cycled
	Slow      []SlowFault     // "slow": answered after a time of the key's clock, with keepalives meanwhile
	// CancelStatus is answered in the place of CTAP2_ERR_KEEPALIVE_CANCEL; 0 for that.
	CancelStatus ctap2.Status

	WrongSignature  bool // of attestations and assertions: a bit of it is turned
	WrongPublicKey  bool // makeCredential gives that of another key
	NoUV            bool // the bit UV is never set, whatever was done
	NoUP            bool // the same of UP
	SelfAttestation bool // self attestation with the model's AAGUID, which RPs may not expect
	Enterprise      bool // enterprise attestation that nobody asked for

	MaxList       uint // told as maxCredentialCountInList, and longer lists get CTAP2_ERR_LIMIT_EXCEEDED; 0 off
	MaxID         uint // told as maxCredentialIdLength, and longer ids are not known; 0 off
	RefuseLists   uint // lists longer than this get CTAP2_ERR_REQUEST_TOO_LARGE, and getInfo does not tell; 0 off
	RefuseSilent  bool // getAssertion with up=false gets CTAP2_ERR_UNSUPPORTED_OPTION
	Slots         uint // room for discoverable credentials; 0 off
	Credential    FieldFault
	User          UserFault
	ExtraOutput   bool         // an extension output that nobody asked for, "fobdUnasked"
	RefuseOutputs bool         // any extension gets CTAP2_ERR_UNSUPPORTED_EXTENSION
	EmptyList     ctap2.Status // in the place of CTAP2_ERR_NO_CREDENTIALS
	EmptyListOK   bool         // an empty map in the place of CTAP2_ERR_NO_CREDENTIALS

	DefaultCredProtect ctap2.CredProtect // of credentials whose request says none; 0 off
	ForceCredProtect   ctap2.CredProtect // of all credentials; 0 off
	AlwaysUVSilent     bool              // with alwaysUv, up=false asks for verification too
	UVFails            uint              // so many built-in user verifications fail
	Samples            []ctap2.SampleStatus
	ForcePINChange     bool // the PIN must be changed before it is good for anything
	SoftLock           bool // as after three wrong PINs: until the power is cycled
	BackupEligible     bool // the bit BE
	BackupState        bool // the bits BE and BS

	FailWrite uint // the nth write of the state from now on fails, once; 0 off
	PowerCut  uint // the power is lost after that many writes more; 0 off
}

// Times says how often a fault happens: 0 is always, n is n times.
type Times uint

func (n Times) String() string {
	switch n {
	case 0:
		return "always"
	case 1:
		return "once"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// A CommandFault happens to a command.
type CommandFault struct {
	Command ctap2.Cmd // 0 for every one
	Times   Times
}

// A StatusFault answers a command with a status.
type StatusFault struct {
	CommandFault
	Status ctap2.Status
}

// A ResponseFault answers a command with bytes, the status first.
type ResponseFault struct {
	CommandFault
	Response []byte
}

// A SlowFault answers a command late.
type SlowFault struct {
	CommandFault
	Delay time.Duration
}

// FieldFault says when an assertion names its credential.
type FieldFault string

// The values of a FieldFault. The zero value is what the profile does: always.
const (
	FieldAlways FieldFault = "always"
	FieldNever  FieldFault = "never"
	FieldNeeded FieldFault = "needed" // not when the allow list has one entry (CTAP 2.2, section 6.2.2)
)

// UserFault says what is wrong with the user in an assertion.
type UserFault string

// The values of a UserFault.
const (
	UserLeftOut UserFault = "none"
	UserCut     UserFault = "cut" // the names end inside a character
)

// FaultName is one kind of fault, for help texts.
type FaultName struct {
	Name  string
	Value string // how its value is written, empty for none
	Doc   string
}

// faultKind is how one kind is read and written.
type faultKind struct {
	FaultName
	set   func(f *Faults, value string) error
	unset func(f *Faults)
	words func(f *Faults) []string // the values; for a kind without one a single empty one
}

const (
	commandForm  = "COMMAND[:TIMES]"
	maxFaults    = 1024    // of one kind
	maxResponse  = 1 << 16 // bytes
	maxFaultWait = 24 * time.Hour
)

var faultKinds = makeFaultKinds()

func makeFaultKinds() []faultKind {
	return []faultKind{
		several("status", "COMMAND:STATUS[:TIMES]", "answer a command with a status, by name or number, and do not carry it out", func(f *Faults) *[]StatusFault { return &f.Statuses }, readStatusFault, func(s StatusFault) string {
			return s.write(s.Status.Name())
		}),
		several("response", "COMMAND:HEX[:TIMES]", "answer a command with these bytes, the status first", func(f *Faults) *[]ResponseFault { return &f.Responses }, readResponseFault, func(s ResponseFault) string {
			return s.write(hex.EncodeToString(s.Response))
		}),
		several("garble", commandForm, "answer with something that is no CBOR", func(f *Faults) *[]CommandFault { return &f.Garbled }, readCommandFault, CommandFault.text),
		several("truncate", commandForm, "answer with the first half only", func(f *Faults) *[]CommandFault { return &f.Truncated }, readCommandFault, CommandFault.text),
		several("hang", commandForm, "never answer, until it is cancelled or the key is unplugged", func(f *Faults) *[]CommandFault { return &f.Hangs }, readCommandFault, CommandFault.text),
		several("slow", "COMMAND:DURATION[:TIMES]", "answer late, with keepalives meanwhile", func(f *Faults) *[]SlowFault { return &f.Slow }, readSlowFault, func(s SlowFault) string {
			return s.write(s.Delay.String())
		}),
		one("cancel-status", "STATUS", "answer a cancelled command so", func(f *Faults) *ctap2.Status { return &f.CancelStatus }, readError, ctap2.Status.Name),
		flag("wrong-signature", "turn a bit of every signature", func(f *Faults) *bool { return &f.WrongSignature }),
		flag("wrong-public-key", "give another key's public key in new credentials", func(f *Faults) *bool { return &f.WrongPublicKey }),
		flag("no-uv-bit", "leave the UV bit out", func(f *Faults) *bool { return &f.NoUV }),
		flag("no-up-bit", "leave the UP bit out", func(f *Faults) *bool { return &f.NoUP }),
		flag("self-attestation", "self attestation, with the model's AAGUID", func(f *Faults) *bool { return &f.SelfAttestation }),
		flag("enterprise-attestation", "enterprise attestation that nobody asked for", func(f *Faults) *bool { return &f.Enterprise }),
		one("max-list", "N", "take lists of at most N credentials, and say so", func(f *Faults) *uint { return &f.MaxList }, readNumber, writeNumber),
		one("max-id", "N", "know credential ids of at most N bytes, and say so", func(f *Faults) *uint { return &f.MaxID }, readNumber, writeNumber),
		one("refuse-lists", "N", "refuse lists of more than N credentials, and do not say so", func(f *Faults) *uint { return &f.RefuseLists }, readNumber, writeNumber),
		flag("refuse-silent", "refuse getAssertion with up=false", func(f *Faults) *bool { return &f.RefuseSilent }),
		one("slots", "N", "have room for N discoverable credentials", func(f *Faults) *uint { return &f.Slots }, readNumber, writeNumber),
		one("credential", "always|never|needed", "when assertions name their credential", func(f *Faults) *FieldFault { return &f.Credential }, readWord(FieldAlways, FieldNever, FieldNeeded), func(w FieldFault) string { return string(w) }),
		one("user", "none|cut", "leave the user out of assertions, or cut names inside a character", func(f *Faults) *UserFault { return &f.User }, readWord(UserLeftOut, UserCut), func(w UserFault) string { return string(w) }),
		flag("extra-extension", "give an extension output that nobody asked for", func(f *Faults) *bool { return &f.ExtraOutput }),
		flag("refuse-extensions", "refuse requests with extensions", func(f *Faults) *bool { return &f.RefuseOutputs }),
		{
			FaultName{"empty-list", "STATUS|OK", "in the place of NO_CREDENTIALS; OK is an empty map"},
			func(f *Faults, value string) error {
				s, err := readStatus(value)
				if err == nil {
					f.EmptyList, f.EmptyListOK = s, s == ctap2.StatusOK
				}
				return err
			},
			func(f *Faults) { f.EmptyList, f.EmptyListOK = 0, false },
			func(f *Faults) []string {
				if f.EmptyListOK || f.EmptyList != 0 {
					return []string{f.EmptyList.Name()}
				}
				return nil
			},
		},
		one("default-cred-protect", "1|2|3", "protect credentials so unless the request says", func(f *Faults) *ctap2.CredProtect { return &f.DefaultCredProtect }, readCredProtect, writeCredProtect),
		one("force-cred-protect", "1|2|3", "protect all credentials so", func(f *Faults) *ctap2.CredProtect { return &f.ForceCredProtect }, readCredProtect, writeCredProtect),
		flag("always-uv-silent", "verify the person for up=false too, with alwaysUv", func(f *Faults) *bool { return &f.AlwaysUVSilent }),
		one("uv-fails", "N", "let N built-in user verifications fail", func(f *Faults) *uint { return &f.UVFails }, readNumber, writeNumber),
		several("sample", "SAMPLE", "what the sensor says next; late is nobody touching it", func(f *Faults) *[]ctap2.SampleStatus { return &f.Samples }, readSample, ctap2.SampleStatus.String),
		flag("force-pin-change", "want another PIN", func(f *Faults) *bool { return &f.ForcePINChange }),
		flag("soft-lock", "refuse PINs until the power is cycled", func(f *Faults) *bool { return &f.SoftLock }),
		flag("backup-eligible", "set the bit BE", func(f *Faults) *bool { return &f.BackupEligible }),
		flag("backup-state", "set the bits BE and BS", func(f *Faults) *bool { return &f.BackupState }),
		one("fail-write", "N", "let the Nth write of the state fail", func(f *Faults) *uint { return &f.FailWrite }, readNumber, writeNumber),
		one("power-cut", "N", "lose the power after N writes of the state", func(f *Faults) *uint { return &f.PowerCut }, readNumber, writeNumber),
	}
}

// FaultNames lists all kinds of faults.
func FaultNames() []FaultName {
	names := make([]FaultName, len(faultKinds))
	for i, k := range faultKinds {
		names[i] = k.FaultName
	}
	return names
}

// ParseFaults reads faults, each name or name=value.
func ParseFaults(words ...string) (Faults, error) {
	var f Faults
	for _, word := range words {
		if err := f.Set(word); err != nil {
			return Faults{}, err
		}
	}
	return f, nil
}

// Set switches a fault on, as [ParseFaults] reads it. Kinds that are lists get another one, up to
// 1024; others get another value. After an error f is as it was.
func (f *Faults) Set(word string) error {
	name, value, given := strings.Cut(word, "=")
	kind, err := kindOf(name)
	if err != nil {
		return err
	}
	if given != (kind.Value != "") {
		if given {
			return fmt.Errorf("softkey: fault %s has no value", name)
		}
		return fmt.Errorf("softkey: fault %s wants a value: %s", name, kind.Value)
	}
	if err := kind.set(f, value); err != nil {
		return fmt.Errorf("softkey: fault %s=%s: %w", name, kind.Value, err)
	}
	return nil
}

// Unset switches all faults of a name off.
func (f *Faults) Unset(name string) error {
	kind, err := kindOf(name)
	if err == nil {
		kind.unset(f)
	}
	return err
}

func kindOf(name string) (*faultKind, error) {
	for i := range faultKinds {
		if faultKinds[i].Name == name {
			return &faultKinds[i], nil
		}
	}
	return nil, fmt.Errorf("softkey: no fault is called %q", name)
}

// Strings writes faults so that [ParseFaults] reads them, in the order of [FaultNames].
func (f Faults) Strings() []string {
	var words []string
	for _, k := range faultKinds {
		for _, value := range k.words(&f) {
			word := k.Name
			if k.Value != "" {
				word += "=" + value
			}
			words = append(words, word)
		}
	}
	return words
}

// none says whether there is no fault.
func (f *Faults) none() bool {
	for _, k := range faultKinds {
		if len(k.words(f)) > 0 {
			return false
		}
	}
	return true
}

// clone is a copy that shares no list.
func (f *Faults) clone() Faults {
	c := *f
	c.Statuses, c.Responses = slices.Clone(f.Statuses), slices.Clone(f.Responses)
	c.Garbled, c.Truncated, c.Hangs = slices.Clone(f.Garbled), slices.Clone(f.Truncated), slices.Clone(f.Hangs)
	c.Slow, c.Samples = slices.Clone(f.Slow), slices.Clone(f.Samples)
	return c
}
