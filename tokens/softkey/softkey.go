// Package softkey is an emulated FIDO authenticator: CTAP1/U2F and CTAP2 messages in,
// messages out (CTAP 2.3, sections 6, 7, 10 and 12; FIDO U2F Raw Message Formats 1.2). A [Profile]
// says of which generation.
//
// It is for tests, for CI, and for whoever needs a key that behaves like a real one.
// It knows no transport: hid/ctaphid puts it on the wire. It gives no protection
// against the user that it runs as.
package softkey

import (
	"bytes"
	"context"
	"crypto/ecdh"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// DefaultAAGUID is the model identifier of a softkey unless its [Config] says another.
var DefaultAAGUID = ctap2.AAGUID{0x66, 0x6f, 0x62, 0x64, 0x73, 0x6f, 0x46, 0x74, 0x8b, 0x65, 0x79, 0x00, 0x00, 0x00, 0x00, 0x01}

// Defaults of a [Config].
const (
	// DefaultResetWindow is how long after power-up authenticatorReset works
	// (CTAP 2.2, section 6.6).
	DefaultResetWindow = 10 * time.Second
	// DefaultTouchTimeout is how long the key blinks.
	DefaultTouchTimeout = 30 * time.Second
	// DefaultMaxCredentials is the number of discoverable credentials there is room for.
	DefaultMaxCredentials = 1000
	// MaxMsgSize is the longest message, the most that CTAPHID carries.
	MaxMsgSize = 7609
)

// Attestation says what makeCredential attests with.
type Attestation string

// The kinds of attestation (WebAuthn Level 3, section 6.5.3).
const (
	AttestationPacked Attestation = "packed" // basic, with a certificate of the key's own CA
	AttestationSelf   Attestation = "self"   // packed, signed with the credential itself
	AttestationNone   Attestation = "none"
	// AttestationFIDOU2F is that of a U2F key, for ES256 credentials that are not
	// discoverable; others get AttestationPacked.
	AttestationFIDOU2F Attestation = "fido-u2f"
)

// Config says what kind of key an [Authenticator] is. The zero value is a CTAP 2.3 and
// U2F key in memory without built-in user verification, touched at once.
type Config struct {
	// AAGUID identifies the model; zero means [DefaultAAGUID].
	AAGUID ctap2.AAGUID
	// Profile is the kind of key; empty means [ProfileFIDO23].
	Profile Profile
	// CTAP1Only means [ProfileU2F]; CTAP2Only takes U2F away from another profile.
	CTAP1Only, CTAP2Only bool
	// Seed makes keys, nonces and identifiers repeat, for tests. Signatures and RSA
	// keys differ all the same: Go's ecdsa and rsa take no random source.
	Seed []byte
	// Store keeps the state; nil keeps it in memory only. Close closes it.
	Store Store
	// Attestation of new credentials; empty means [AttestationPacked].
	Attestation Attestation
	// Enterprise is for keys with enterprise attestation, which profiles from [ProfileFIDO21] on
	// have; nil for one whose vendor knows no RP.
	Enterprise *Enterprise
	// Algorithms of new credentials, in any order; empty for those of the profile.
	Algorithms []cose.Algorithm
	// PostQuantum adds ML-DSA-44, ML-DSA-65 and ML-DSA-87 (FIPS 204) to the profile's algorithms.
	// No key on the market had them when CTAP 2.3 came out, and platforms may not take answers of
	// several kilobytes.
	PostQuantum bool
	// Presence, Delay and Verification are how the person behaves at first; see
	// [Authenticator.SetPresence] and [Authenticator.SetVerification].
	Presence     Presence
	Delay        time.Duration
	Verification Verification
	// ResetWindow is how long after power-up a reset works; 0 means
	// [DefaultResetWindow], below 0 always.
	ResetWindow time.Duration
	// TouchTimeout is how long the key blinks; 0 means [DefaultTouchTimeout].
	TouchTimeout time.Duration
	// AlwaysUV asks for user verification even if the platform does not (CTAP 2.2,
	// section 6.4, option alwaysUv).
	AlwaysUV bool
	// LargeBlobArray gives [ProfileFIDO23] and [ProfileFIDO23Bio] the large blobs of CTAP 2.1, with
	// the command authenticatorLargeBlobs and the extension largeBlobKey, in the place of the extension
	// largeBlob; a key has one of both (CTAP 2.3, section 12.4).
	LargeBlobArray bool
	// NoMcGaWithPIN lets a PIN not authorize makeCredential and getAssertion, only the sensor
	// (CTAP 2.3, section 6.4, option noMcGaPermissionsWithClientPin).
	NoMcGaWithPIN bool
	// MaxCredentials is the room for discoverable credentials; 0 means as many as the profile
	// has, [DefaultMaxCredentials] with CTAP 2.3.
	MaxCredentials int
	// PINComplexity refuses new PINs that are one character repeated or a sequence such as 1234,
	// as authenticatorConfig may ask for later too (CTAP 2.3, section 6.4, pinComplexityPolicy).
	PINComplexity bool
	// PINPolicyURL is told by getInfo, for people who want to know what PINs the key takes (CTAP
	// 2.3, section 6.4, pinComplexityPolicyURL); empty for none.
	PINPolicyURL string
	// MinPINLength is in code points, 4 to 63; 0 means 4, the least that CTAP 2.2,
	// section 6.5.1 allows.
	MinPINLength uint
	// Transports are told by getInfo; empty for "usb" (WebAuthn Level 3, section 5.8.4).
	Transports []string
	// FirmwareVersion is told by getInfo; 0 leaves it out.
	FirmwareVersion uint
	// ShortRPIDs makes credential management tell RP IDs as keys with little room do: in at most
	// 32 bytes (CTAP 2.3, section 6.8.7).
	ShortRPIDs bool
	// LockAlwaysUV keeps alwaysUv on once it is (CTAP 2.3, section 6.11.2, step 2.2).
	LockAlwaysUV bool
	// SamplesPerFinger is how many good samples the sensor wants of a finger; 0 means
	// [DefaultSamples]. MaxFingers is how many it remembers; 0 means [DefaultMaxFingers].
	// Both are of keys whose sensor learns fingers.
	SamplesPerFinger, MaxFingers uint
	// VendorCommands are what the subcommand vendorPrototype of authenticatorConfig does, by
	// vendorCommandId (CTAP 2.3, section 6.11.3); without one there is no such subcommand. Each gets
	// the parameter 0x02 in CBOR, nil when there is none; its error is answered by the
	// status in it. It must not call methods of the key.
	VendorCommands map[uint64]func(data []byte) error
	// Certifications are told by getInfo from [ProfileFIDO21] on (CTAP 2.3, section 6.4); an emulated
	// key has none but for tests.
	Certifications map[string]uint64
	// Faults are what the key does wrong from the beginning; see [Authenticator.SetFaults].
	Faults Faults
	// Clock is the key's; nil for the wall's. See [Authenticator.Advance].
	Clock Clock
	// OnPrompt, if not nil, is called when the key begins to blink, and with
	// a nil prompt when it ends. A U2F request blinks while the client repeats it. It must
	// return at once; it may call the methods that only look ([Authenticator.Info],
	// [Authenticator.Credentials]), Touch and the setters.
	OnPrompt func(*Prompt)
}

// Authenticator is an emulated key. Commands run one after the other; all methods may
// be called from any goroutine.
type Authenticator struct {
	cfg    Config
	traits *traits
	turn   chan struct{} // holds one value while a command runs
	rand   io.Reader
	user   *person
	u2f    apdu.Assembler
	winks  chan struct{}

	// mu guards what follows. The command whose turn it is holds it, but not while it waits
	// for the person, so that others can look at the key meanwhile; only who has the
	// turn changes anything.
	mu       sync.Mutex
	keys     keyCache
	state    state
	volatile volatile
	samples  []ctap2.SampleStatus // what the sensor says next
	faults   *Faults              // nil for none
	cutting  bool                 // the power is lost at the next write
	limits0  limits               // those without faults; unset while there are none
	seen     observer
}

// volatile is what a power cycle clears.
type volatile struct {
	poweredUp  time.Time
	pinFails   int  // wrong PINs in a row since power-up
	uvSincePIN uint // built-in user verifications since the last right PIN
	agreement  map[ctap2.PINUVProtocol]*ecdh.PrivateKey
	tokens     map[ctap2.PINUVProtocol]*token
	assertions *remaining
	sequences  sequences
	dead       bool // the power was lost by a fault
}

// New returns a key that has just been plugged in. The error is about the
// configuration or the stored state.
func New(cfg Config) (*Authenticator, error) {
	if cfg.AAGUID.IsZero() {
		cfg.AAGUID = DefaultAAGUID
	}
	switch {
	case cfg.CTAP1Only && cfg.Profile != "" && cfg.Profile != ProfileU2F:
		return nil, fmt.Errorf("softkey: CTAP1 only with profile %q", cfg.Profile)
	case cfg.CTAP1Only:
		cfg.Profile = ProfileU2F
	case cfg.Profile == "":
		cfg.Profile = ProfileFIDO23
	}
	traits, err := traitsOf(cfg.Profile)
	if err != nil {
		return nil, err
	}
	if cfg.LargeBlobArray {
		traits.useLargeBlobArray()
	}
	if cfg.CTAP2Only {
		traits.u2f = false
		if len(traits.versions) == 0 {
			return nil, errors.New("softkey: a key that speaks neither CTAP1 nor CTAP2")
		}
	}
	if cfg.Attestation == "" {
		cfg.Attestation = AttestationPacked
	}
	switch cfg.Attestation {
	case AttestationPacked, AttestationSelf, AttestationNone, AttestationFIDOU2F:
	default:
		return nil, fmt.Errorf("softkey: unknown attestation %q", cfg.Attestation)
	}
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = slices.Clone(traits.algorithms)
		if cfg.PostQuantum {
			cfg.Algorithms = append(cfg.Algorithms, postQuantum...)
		}
	}
	if slices.Contains(cfg.Algorithms, cose.RS256) && traits.maxCredentialID > 0 {
		traits.maxCredentialID = max(traits.maxCredentialID, maxRSACredentialID)
	}
	for _, alg := range cfg.Algorithms {
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("softkey: algorithm %v is not supported", alg)
		}
	}
	if cfg.ResetWindow == 0 {
		cfg.ResetWindow = DefaultResetWindow
	}
	if cfg.TouchTimeout <= 0 {
		cfg.TouchTimeout = DefaultTouchTimeout
	}
	if cfg.MaxCredentials <= 0 {
		cfg.MaxCredentials = max(traits.maxCredentials, 1)
	}
	if cfg.MinPINLength == 0 {
		cfg.MinPINLength = minPINLength
	}
	if cfg.MinPINLength < minPINLength || cfg.MinPINLength > maxPINLength {
		return nil, fmt.Errorf("softkey: a minimum PIN length of %d is not within %d and %d", cfg.MinPINLength, minPINLength, maxPINLength)
	}
	if len(cfg.Transports) == 0 {
		cfg.Transports = []string{"usb"}
	}
	if err := cfg.sensorConfig(); err != nil {
		return nil, err
	}
	p, err := newPerson(cfg)
	if err != nil {
		return nil, err
	}
	a := &Authenticator{
		cfg:    cfg,
		traits: traits,
		turn:   make(chan struct{}, 1),
		rand:   crand.Reader,
		user:   p,
		u2f:    apdu.Assembler{Max: MaxMsgSize},
		winks:  make(chan struct{}, 1),
	}
	if cfg.Seed != nil {
		a.rand = rand.NewChaCha8(seed(cfg.Seed, 0))
	}
	if err := a.load(); err != nil {
		return nil, err
	}
	a.powerUp()
	a.SetFaults(cfg.Faults)
	return a, nil
}

// seed gives the random stream of the nth time that a stored state was loaded: were it the same
// each time, the key pairs and nonces of the last time would come again.
func seed(s []byte, n uint64) [32]byte {
	if n == 0 {
		return sha256.Sum256(s)
	}
	return sha256.Sum256(binary.BigEndian.AppendUint64(bytes.Clone(s), n))
}

// interrupt takes the turn away from a command that waits for the person, which is answered
// CTAP2_ERR_KEEPALIVE_CANCEL. The caller calls the function that it gets to give the turn back.
func (a *Authenticator) interrupt() (done func()) {
	a.user.unplug(1)
	a.turn <- struct{}{}
	a.mu.Lock()
	return func() {
		a.user.unplug(-1)
		a.mu.Unlock()
		<-a.turn
	}
}

// Close ends the key, also while a command waits for the person. Commands afterwards are answered
// as if the store had failed.
func (a *Authenticator) Close() error {
	defer a.interrupt()()
	if a.cfg.Store == nil {
		return nil
	}
	return a.cfg.Store.Close()
}

// PowerCycle is pulling the key out and putting it in again: the block after three wrong
// PINs ends, PIN/UV auth tokens are gone, and the reset window begins (CTAP 2.2,
// sections 6.5.5 and 6.6). Stored credentials stay. A command that waits for the person ends.
func (a *Authenticator) PowerCycle() {
	defer a.interrupt()()
	a.powerUp()
}

func (a *Authenticator) powerUp() {
	a.volatile = volatile{poweredUp: a.now()}
	if a.faults != nil {
		a.faults.SoftLock = false
	}
	a.u2f.Reset()
	a.user.forget()
	a.renewTokens()
}

// Profile tells what kind of key it is.
func (a *Authenticator) Profile() Profile { return a.cfg.Profile }

// Wink notes that the client asked the key to show itself; see [Authenticator.Winked].
func (a *Authenticator) Wink() {
	select {
	case a.winks <- struct{}{}:
	default:
	}
}

// Winked receives a value after a wink.
func (a *Authenticator) Winked() <-chan struct{} { return a.winks }

// CBOR answers a CTAP2 request: a command byte and CBOR in, a status byte and CBOR out.
// The error is always nil; a cancelled ctx gives CTAP2_ERR_KEEPALIVE_CANCEL
// (CTAP 2.2, section 11.2.9.1.5). It implements ctap2.Transport.
func (a *Authenticator) CBOR(ctx context.Context, request []byte, keepalive func(status byte)) ([]byte, error) {
	if keepalive == nil {
		keepalive = func(byte) {}
	}
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return status(ctap2.ErrKeepaliveCancel), nil
	}
	defer func() { <-a.turn }()
	a.mu.Lock()
	defer a.mu.Unlock()
	c := &command{ctx: ctx, keepalive: keepalive}
	if a.faults != nil || a.volatile.dead {
		response := a.faulty(c, request)
		a.seen.command(a, c, response)
		return response, nil
	}
	response, err := a.command(c, request)
	if err != nil {
		response = status(ctap2.StatusOf(err))
	}
	a.seen.command(a, c, response)
	return response, nil
}

// command is one command while it runs.
type command struct {
	cmd       ctap2.Cmd
	ctx       context.Context
	keepalive func(status byte)
	rpID      string                       // that the command is about, if one
	list      []ctap2.CredentialDescriptor // its allow or exclude list
}

func status(s ctap2.Status) []byte { return []byte{byte(s)} }

// command dispatches (CTAP 2.2, section 6).
func (a *Authenticator) command(c *command, request []byte) ([]byte, error) {
	if len(a.traits.versions) == 0 || len(request) == 0 {
		return nil, ctap2.ErrInvalidCommand
	}
	if len(request) > a.traits.maxMsgSize {
		return nil, ctap2.ErrRequestTooLarge
	}
	cmd, params := ctap2.Cmd(request[0]), request[1:]
	c.cmd = cmd
	if cmd != ctap2.CmdGetNextAssertion {
		// CTAP 2.2, section 6.3: any other command ends the state of getNextAssertion.
		a.volatile.assertions = nil
	}
	a.volatile.sequences.interrupted(cmd)
	switch cmd {
	case ctap2.CmdMakeCredential:
		return parsed(c, params, a.makeCredential)
	case ctap2.CmdGetAssertion:
		return parsed(c, params, a.getAssertion)
	case ctap2.CmdGetNextAssertion:
		return bare(c, params, a.getNextAssertion)
	case ctap2.CmdGetInfo:
		return bare(c, params, func(*command) ([]byte, error) { return ctap2.MarshalResponse(a.info()) })
	case ctap2.CmdClientPIN:
		return parsed(c, params, a.clientPIN)
	case ctap2.CmdReset:
		return bare(c, params, a.reset)
	case ctap2.CmdSelection:
		return bare(c, params, a.selection)
	case ctap2.CmdBioEnrollment, ctap2.CmdBioEnrollmentPreview:
		return parsed(c, params, a.bioEnrollment)
	case ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview:
		return parsed(c, params, a.credentialManagement)
	case ctap2.CmdLargeBlobs:
		return parsed(c, params, a.largeBlobs)
	case ctap2.CmdConfig:
		return parsed(c, params, a.config)
	}
	return nil, ctap2.ErrInvalidCommand
}

// parsed decodes a command's parameters and runs it.
func parsed[R any](c *command, params []byte, run func(*command, *R) ([]byte, error)) ([]byte, error) {
	r := new(R)
	if err := ctap2.Unmarshal(params, r); err != nil {
		return nil, err
	}
	// CTAP 2.2, section 8: who decodes should refuse what is not canonical.
	if ctap2.Canonical(params) != nil {
		return nil, ctap2.ErrInvalidCBOR
	}
	return run(c, r)
}

// bare runs a command that has no parameters. A map of some is ignored, as members that are not known
// are; what is no map in CBOR is no request (CTAP 2.2, section 8).
func bare(c *command, params []byte, run func(*command) ([]byte, error)) ([]byte, error) {
	if len(params) == 0 {
		return run(c)
	}
	return parsed(c, params, func(c *command, _ *struct{}) ([]byte, error) { return run(c) })
}

// MSG answers a U2F request APDU (FIDO U2F Raw Message Formats 1.2). The error is always
// nil. It implements u2f.Transport.
func (a *Authenticator) MSG(ctx context.Context, request []byte, keepalive func(status byte)) ([]byte, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return apdu.Response{SW: u2f.ErrConditionsNotSatisfied}.Marshal(), nil
	}
	defer func() { <-a.turn }()
	a.mu.Lock()
	defer a.mu.Unlock()
	// CTAP 2.2, section 6.3: any other command ends the state of getNextAssertion.
	a.volatile.assertions = nil
	a.volatile.sequences.interrupted(0)
	return a.seen.u2f(a, request, a.u2fMessage(ctx, keepalive, request)), nil
}

// selection answers authenticatorSelection (CTAP 2.2, section 6.9).
func (a *Authenticator) selection(c *command) ([]byte, error) {
	if !a.traits.selection {
		return nil, ctap2.ErrInvalidCommand
	}
	if err := a.touch(c, &Prompt{Command: ctap2.CmdSelection}); err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}

// reset answers authenticatorReset (CTAP 2.2, section 6.6).
func (a *Authenticator) reset(c *command) ([]byte, error) {
	if a.cfg.ResetWindow > 0 && a.now().Sub(a.volatile.poweredUp) > a.cfg.ResetWindow {
		return nil, ctap2.ErrNotAllowed
	}
	if err := a.touch(c, &Prompt{Command: ctap2.CmdReset, Long: a.state.config.LongTouchForReset}); err != nil {
		return nil, err
	}
	if err := a.wipe(); err != nil {
		return nil, err
	}
	poweredUp := a.volatile.poweredUp
	a.volatile = volatile{poweredUp: poweredUp}
	a.renewTokens()
	return ctap2.MarshalResponse(nil)
}
