package softkey

import (
	"fmt"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// Profile names a kind of key: which versions, commands, options, extensions and limits it
// has. What a profile does not have is refused or ignored as such a key does.
type Profile string

// The profiles.
const (
	// ProfileU2F is a key of before CTAP2.
	ProfileU2F Profile = "u2f"
	// ProfileFIDO20 is a key of about 2019: PIN protocol one, hmac-secret, and a PIN token that
	// is good for everything until the key is pulled out.
	ProfileFIDO20 Profile = "fido2.0"
	// ProfileFIDO21 is a key of CTAP 2.1 with all that keys of that time had: credential
	// management, configuration, large blobs, enterprise attestation.
	ProfileFIDO21 Profile = "fido2.1"
	// ProfileFIDO23 is a key of CTAP 2.3; the zero value means it too.
	ProfileFIDO23 Profile = "fido2.3"
	// ProfileFIDO23Bio is [ProfileFIDO23] with a fingerprint sensor that learns fingers.
	ProfileFIDO23Bio Profile = "fido2.3-bio"
	// ProfileMinimal has no PIN, no discoverable credentials and no extensions.
	ProfileMinimal Profile = "minimal"
)

// Profiles lists all profiles, the oldest kind of key first.
func Profiles() []Profile {
	return []Profile{ProfileU2F, ProfileMinimal, ProfileFIDO20, ProfileFIDO21, ProfileFIDO23, ProfileFIDO23Bio}
}

// traits are what sets one profile apart from another. A member that is zero is not there.
type traits struct {
	versions   []string // without U2F_V2
	u2f        bool     // CTAP1
	extensions []string
	options    []string // those that are plainly true, and those in [traits.switched]
	protocols  []ctap2.PINUVProtocol
	algorithms []cose.Algorithm // supported; told only with listAlgorithms

	maxMsgSize      int // bytes, with the command byte
	maxListCount    int // excludeList and allowList; 0: as many as fit
	maxCredentialID int // bytes; 0: as many as fit
	maxCredBlob     int
	maxLargeBlobs   int // bytes of the serialized large-blob array
	maxRPIDs        int // of setMinPINLength
	maxCredentials  int // discoverable ones, unless the Config says
	firmware        uint

	// members of getInfo that keys of that time have
	tellsMessageSize  bool
	tellsLimits       bool // CTAP 2.1: list count, id length, algorithms, transports, minPINLength …
	tellsAttestations bool // CTAP 2.2 and 2.3: attestationFormats, maxPINLength, transportsForReset …
	configCommands    []ctap2.ConfigSubcommand
	longTouch         bool // can ask for a long touch before a reset
	sensor            bool // learns fingers
	legacyToken       bool // the PIN token of CTAP 2.0
	selection         bool // authenticatorSelection
}

// has reports whether the profile has an option of getInfo, on or off.
func (t *traits) has(option string) bool { return slices.Contains(t.options, option) }

// extension reports whether the profile has an extension.
func (t *traits) extension(name string) bool { return slices.Contains(t.extensions, name) }

// ctap20 reports whether the profile is of before CTAP 2.1.
func (t *traits) ctap20() bool { return !slices.Contains(t.versions, ctap2.VersionFIDO21) }

// protocol reports whether the profile has a PIN/UV auth protocol.
func (t *traits) protocol(p ctap2.PINUVProtocol) bool { return slices.Contains(t.protocols, p) }

// configSubcommand reports whether the profile has a subcommand of authenticatorConfig.
func (t *traits) configSubcommand(s ctap2.ConfigSubcommand) bool {
	return slices.Contains(t.configCommands, s)
}

// useLargeBlobArray replaces the extension largeBlob, where there is one, by what CTAP 2.1 had.
func (t *traits) useLargeBlobArray() {
	if at := slices.Index(t.extensions, ctap2.ExtensionLargeBlob); at >= 0 {
		t.extensions[at] = ctap2.ExtensionLargeBlobKey
		t.options = append(t.options, ctap2.OptionLargeBlobs)
	}
}

func traitsOf(p Profile) (*traits, error) {
	switch p {
	case ProfileU2F:
		return &traits{u2f: true, maxMsgSize: MaxMsgSize, algorithms: []cose.Algorithm{cose.ES256}}, nil
	case ProfileMinimal:
		return &traits{
			versions: []string{ctap2.VersionFIDO20}, u2f: true,
			options:    []string{ctap2.OptionUP},
			algorithms: []cose.Algorithm{cose.ES256},
			maxMsgSize: ctap2.DefaultMaxMsgSize,
		}, nil
	case ProfileFIDO20:
		return &traits{
			versions: []string{ctap2.VersionFIDO20}, u2f: true,
			extensions:       []string{ctap2.ExtensionHMACSecret},
			options:          []string{ctap2.OptionRK, ctap2.OptionUP, ctap2.OptionClientPIN},
			protocols:        []ctap2.PINUVProtocol{pinuv.One},
			algorithms:       []cose.Algorithm{cose.ES256, cose.EdDSA},
			maxMsgSize:       1200,
			tellsMessageSize: true,
			maxCredentials:   25,
			legacyToken:      true,
		}, nil
	case ProfileFIDO21:
		return &traits{
			versions: []string{ctap2.VersionFIDO20, ctap2.VersionFIDO21P, ctap2.VersionFIDO21}, u2f: true,
			extensions: []string{
				ctap2.ExtensionCredProtect, ctap2.ExtensionHMACSecret, ctap2.ExtensionLargeBlobKey,
				ctap2.ExtensionCredBlob, ctap2.ExtensionMinPINLength,
			},
			options: []string{
				ctap2.OptionRK, ctap2.OptionUP, ctap2.OptionClientPIN, ctap2.OptionPINUVAuthToken,
				ctap2.OptionMakeCredUVNotRqd, ctap2.OptionCredMgmt, ctap2.OptionCredMgmtPreview, ctap2.OptionConfig,
				ctap2.OptionLargeBlobs, ctap2.OptionSetMinPINLength, ctap2.OptionEnterprise, ctap2.OptionAlwaysUV,
			},
			protocols:  []ctap2.PINUVProtocol{pinuv.Two, pinuv.One},
			algorithms: []cose.Algorithm{cose.ES256, cose.EdDSA, cose.ES384},
			maxMsgSize: 1280, tellsMessageSize: true, tellsLimits: true,
			maxListCount: 8, maxCredentialID: 128, maxCredBlob: 32, maxLargeBlobs: 4096, maxRPIDs: 1, maxCredentials: 100,
			firmware:       0x050700,
			configCommands: []ctap2.ConfigSubcommand{ctap2.SubEnableEnterpriseAttestation, ctap2.SubToggleAlwaysUV, ctap2.SubSetMinPINLength},
			selection:      true,
		}, nil
	case ProfileFIDO23, ProfileFIDO23Bio:
		t := &traits{
			versions: []string{ctap2.VersionFIDO20, ctap2.VersionFIDO21P, ctap2.VersionFIDO21, ctap2.VersionFIDO22, ctap2.VersionFIDO23}, u2f: true,
			extensions: []string{
				ctap2.ExtensionCredProtect, ctap2.ExtensionHMACSecret, ctap2.ExtensionHMACSecretMC, ctap2.ExtensionLargeBlob,
				ctap2.ExtensionCredBlob, ctap2.ExtensionMinPINLength, ctap2.ExtensionPINComplexityPolicy, ctap2.ExtensionThirdPartyPayment,
			},
			options: []string{
				ctap2.OptionRK, ctap2.OptionUP, ctap2.OptionClientPIN, ctap2.OptionPINUVAuthToken,
				ctap2.OptionMakeCredUVNotRqd, ctap2.OptionCredMgmt, ctap2.OptionCredMgmtReadOnly, ctap2.OptionCredMgmtPreview, ctap2.OptionConfig,
				ctap2.OptionSetMinPINLength, ctap2.OptionEnterprise, ctap2.OptionAlwaysUV,
			},
			protocols:  []ctap2.PINUVProtocol{pinuv.Two, pinuv.One},
			algorithms: classical,
			maxMsgSize: MaxMsgSize, tellsMessageSize: true, tellsLimits: true, tellsAttestations: true,
			maxListCount: 64, maxCredentialID: maxRSACredentialID, maxCredBlob: 64, maxLargeBlobs: 4096, maxRPIDs: 8, maxCredentials: DefaultMaxCredentials,
			configCommands: []ctap2.ConfigSubcommand{
				ctap2.SubEnableEnterpriseAttestation, ctap2.SubToggleAlwaysUV, ctap2.SubSetMinPINLength, ctap2.SubEnableLongTouchForReset,
			},
			longTouch: true, selection: true,
		}
		if p == ProfileFIDO23Bio {
			t.sensor = true
			t.options = append(t.options, ctap2.OptionUV, ctap2.OptionBioEnroll, ctap2.OptionBioPreview, ctap2.OptionUVBioEnroll, ctap2.OptionUVConfig)
		}
		return t, nil
	}
	return nil, fmt.Errorf("softkey: unknown profile %q", p)
}
