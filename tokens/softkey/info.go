package softkey

import (
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// Limits that getInfo tells (CTAP 2.2, section 6.4).
const (
	maxListCount     = 64
	maxCredentialID  = 512
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

// info answers authenticatorGetInfo (CTAP 2.2, section 6.4).
func (a *Authenticator) info() *ctap2.Info {
	i := &ctap2.Info{
		Versions:   []string{"FIDO_2_0", "FIDO_2_1"},
		Extensions: []string{"credProtect", "hmac-secret"},
		AAGUID:     a.cfg.AAGUID,
		Options: map[string]bool{
			"plat":             false,
			"rk":               true,
			"up":               true,
			"clientPin":        a.state.pin.set(),
			"pinUvAuthToken":   true,
			"makeCredUvNotRqd": !a.cfg.AlwaysUV, // CTAP 2.2, section 7.2: alwaysUv takes it away
		},
		MaxMsgSize:               MaxMsgSize,
		PINUVAuthProtocols:       []ctap2.PINUVProtocol{pinuv.Two, pinuv.One},
		MaxCredentialCountInList: maxListCount,
		MaxCredentialIDLength:    maxCredentialID,
		Transports:               slices.Clone(a.cfg.Transports),
		MinPINLength:             a.cfg.MinPINLength,
		FirmwareVersion:          a.cfg.FirmwareVersion,
		MaxPINLength:             maxPINLength,
	}
	if !a.cfg.CTAP2Only && !a.cfg.AlwaysUV {
		// CTAP 2.2, section 7.2.4: with alwaysUv, U2F is off.
		i.Versions = append([]string{"U2F_V2"}, i.Versions...)
	}
	if a.cfg.AlwaysUV {
		i.Options["alwaysUv"] = true
	}
	if there, _ := a.user.sensor(); there {
		i.Options["uv"] = true
		i.UVModality = uvModalityFinger
		i.PreferredPlatformUVAttempts = maxUVRetries
	}
	for _, alg := range a.cfg.Algorithms {
		i.Algorithms = append(i.Algorithms, ctap2.CredentialParameter{Alg: alg, Type: ctap2.TypePublicKey})
	}
	room := uint(max(0, a.cfg.MaxCredentials-len(a.state.discoverable)))
	i.RemainingDiscoverableCredentials = &room
	return i
}
