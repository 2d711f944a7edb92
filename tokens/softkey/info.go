package softkey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	crand "crypto/rand"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/fobd/fobd/ctap2"
)

// Limits that getInfo tells (CTAP 2.2, section 6.4).
const (
	minPINLength     = 4
	maxPINLength     = 63
	uvModalityFinger = 0x00000002 // FIDO Registry of Predefined Values, section 3.1
)

func yes(b bool) *bool { return &b }

// Info returns what getInfo answers now.
func (a *Authenticator) Info() *ctap2.Info {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.info()
}

// info answers authenticatorGetInfo (CTAP 2.3, section 6.4). Members that keys of the profile's time did
// not have are absent.
func (a *Authenticator) info() *ctap2.Info {
	t := a.traits
	i := &ctap2.Info{
		Versions:           slices.Clone(t.versions),
		Extensions:         slices.Clone(t.extensions),
		AAGUID:             a.cfg.AAGUID,
		Options:            a.options(),
		PINUVAuthProtocols: slices.Clone(t.protocols),
	}
	if t.u2f && !a.alwaysUV() {
		// CTAP 2.2, section 7.2.4: with alwaysUv, U2F is off.
		i.Versions = slices.Insert(i.Versions, 0, ctap2.VersionU2F)
	}
	if t.tellsMessageSize {
		i.MaxMsgSize = uint(t.maxMsgSize)
	}
	if there, _, _ := a.builtInUV(); there {
		i.UVModality = uvModalityFinger
		i.PreferredPlatformUVAttempts = maxUVRetries
	}
	if t.tellsLimits {
		a.limits(i)
	}
	if t.tellsAttestations {
		a.lately(i)
	}
	return i
}

// options are what the key has and what of that is on.
func (a *Authenticator) options() map[string]bool {
	if len(a.traits.versions) == 0 {
		return nil // getInfo is not for a U2F key
	}
	_, ready, _ := a.builtInUV()
	options := map[string]bool{ctap2.OptionPlat: false}
	for _, name := range a.traits.options {
		on := true
		switch name {
		case ctap2.OptionClientPIN:
			on = a.state.pin.set()
		case ctap2.OptionUV, ctap2.OptionBioEnroll, ctap2.OptionBioPreview:
			on = ready
		case ctap2.OptionMakeCredUVNotRqd:
			on = a.makeCredUVNotRequired()
		case ctap2.OptionAlwaysUV:
			on = a.alwaysUV()
		case ctap2.OptionEnterprise:
			on = a.enterprise()
		}
		options[name] = on
	}
	if ready {
		options[ctap2.OptionUV] = true
	}
	if a.cfg.NoMcGaWithPIN {
		options[ctap2.OptionNoMcGaWithPIN] = true
	}
	return options
}

// limits are the members that came with CTAP 2.1.
func (a *Authenticator) limits(i *ctap2.Info) {
	t := a.traits
	i.MaxCredentialCountInList = uint(t.maxListCount)
	i.MaxCredentialIDLength = uint(t.maxCredentialID)
	i.Transports = slices.Clone(a.cfg.Transports)
	for _, alg := range a.cfg.Algorithms {
		i.Algorithms = append(i.Algorithms, ctap2.CredentialParameter{Alg: alg, Type: ctap2.TypePublicKey})
	}
	if t.has(ctap2.OptionLargeBlobs) {
		i.MaxSerializedLargeBlobArray = uint(t.maxLargeBlobs)
	}
	i.ForcePINChange = yes(a.forcePINChange())
	i.MinPINLength = a.minPIN()
	i.FirmwareVersion = t.firmware
	if a.cfg.FirmwareVersion != 0 {
		i.FirmwareVersion = a.cfg.FirmwareVersion
	}
	i.MaxCredBlobLength = uint(t.maxCredBlob)
	if t.has(ctap2.OptionSetMinPINLength) {
		most := uint(t.maxRPIDs)
		i.MaxRPIDsForSetMinPINLength = &most
	}
	i.VendorPrototypeConfigCommands = slices.Sorted(maps.Keys(a.cfg.VendorCommands))
	i.Certifications = maps.Clone(a.cfg.Certifications)
	room := uint(max(0, a.cfg.MaxCredentials-a.state.discoverable.len()))
	i.RemainingDiscoverableCredentials = &room
}

// lately are the members that came with CTAP 2.2 and 2.3.
func (a *Authenticator) lately(i *ctap2.Info) {
	t := a.traits
	for _, format := range a.attestationFormats() {
		if format != ctap2.FormatNone { // every key can do without: none is never listed
			i.AttestationFormats = append(i.AttestationFormats, format)
		}
	}
	if t.sensor {
		count := a.volatile.uvSincePIN
		i.UVCountSinceLastPINEntry = &count
	}
	if t.longTouch {
		i.LongTouchForReset = yes(a.state.config.LongTouchForReset)
	}
	i.TransportsForReset = []string{"usb"}
	i.PINComplexityPolicy = yes(a.complexPIN())
	i.PINComplexityPolicyURL = []byte(a.cfg.PINPolicyURL)
	i.MaxPINLength = maxPINLength
	for _, s := range t.configCommands {
		i.AuthenticatorConfigCommands = append(i.AuthenticatorConfigCommands, uint(s))
	}
	if a.configures(ctap2.SubVendorPrototype) {
		i.AuthenticatorConfigCommands = append(i.AuthenticatorConfigCommands, uint(ctap2.SubVendorPrototype))
	}
	if len(a.state.persistent) > 0 {
		if identifier, err := hkdf.Key(sha256.New, a.state.Master, nil, "device identifier", aes.BlockSize); err == nil {
			i.EncIdentifier = a.sealed("encIdentifier", [aes.BlockSize]byte(identifier))
		}
		i.EncCredStoreState = a.sealed("encCredStoreState", a.credStoreState())
	}
}

// sealed encrypts a member of getInfo for who holds the persistent token (CTAP 2.3, section 6.4): the
// iv, and the block. It is another one each time. It is nil if the key has no randomness.
func (a *Authenticator) sealed(name string, plain [aes.BlockSize]byte) []byte {
	key, err := hkdf.Key(sha256.New, a.state.persistent, make([]byte, sha256.Size), name, aes.BlockSize)
	if err != nil {
		return nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil
	}
	out := make([]byte, 2*aes.BlockSize)
	// Not from the key's own stream: looking must not change the credentials of a seeded key.
	if _, err := crand.Read(out[:aes.BlockSize]); err != nil {
		return nil
	}
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], plain[:])
	return out
}
