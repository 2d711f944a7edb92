package daemon

import (
	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
)

// members gives an authenticatorGetInfo answer by the member names of CTAP 2.3, section
// 6.4. Absent members are absent.
func members(i *ctap2.Info) map[string]any {
	m := map[string]any{"versions": i.Versions, "aaguid": i.AAGUID.String()}
	set(m, "extensions", i.Extensions, len(i.Extensions) > 0)
	set(m, "options", i.Options, i.Options != nil)
	set(m, "maxMsgSize", i.MaxMsgSize, i.MaxMsgSize != 0)
	set(m, "pinUvAuthProtocols", i.PINUVAuthProtocols, len(i.PINUVAuthProtocols) > 0)
	set(m, "maxCredentialCountInList", i.MaxCredentialCountInList, i.MaxCredentialCountInList != 0)
	set(m, "maxCredentialIdLength", i.MaxCredentialIDLength, i.MaxCredentialIDLength != 0)
	set(m, "transports", i.Transports, len(i.Transports) > 0)
	algorithms := make([]map[string]any, 0, len(i.Algorithms))
	for _, a := range i.Algorithms {
		algorithms = append(algorithms, map[string]any{"type": a.Type, "alg": int64(a.Alg), "name": a.Alg.String()})
	}
	set(m, "algorithms", algorithms, len(algorithms) > 0)
	set(m, "maxSerializedLargeBlobArray", i.MaxSerializedLargeBlobArray, i.MaxSerializedLargeBlobArray != 0)
	setPointer(m, "forcePINChange", i.ForcePINChange)
	set(m, "minPINLength", i.MinPINLength, i.MinPINLength != 0)
	set(m, "firmwareVersion", i.FirmwareVersion, i.FirmwareVersion != 0)
	set(m, "maxCredBlobLength", i.MaxCredBlobLength, i.MaxCredBlobLength != 0)
	setPointer(m, "maxRPIDsForSetMinPINLength", i.MaxRPIDsForSetMinPINLength)
	set(m, "preferredPlatformUvAttempts", i.PreferredPlatformUVAttempts, i.PreferredPlatformUVAttempts != 0)
	set(m, "uvModality", i.UVModality, i.UVModality != 0)
	set(m, "certifications", i.Certifications, len(i.Certifications) > 0)
	setPointer(m, "remainingDiscoverableCredentials", i.RemainingDiscoverableCredentials)
	set(m, "vendorPrototypeConfigCommands", i.VendorPrototypeConfigCommands, len(i.VendorPrototypeConfigCommands) > 0)
	set(m, "attestationFormats", i.AttestationFormats, len(i.AttestationFormats) > 0)
	setPointer(m, "uvCountSinceLastPinEntry", i.UVCountSinceLastPINEntry)
	setPointer(m, "longTouchForReset", i.LongTouchForReset)
	set(m, "encIdentifier", api.Bytes(i.EncIdentifier), len(i.EncIdentifier) > 0)
	set(m, "transportsForReset", i.TransportsForReset, len(i.TransportsForReset) > 0)
	setPointer(m, "pinComplexityPolicy", i.PINComplexityPolicy)
	set(m, "pinComplexityPolicyURL", string(i.PINComplexityPolicyURL), len(i.PINComplexityPolicyURL) > 0)
	set(m, "maxPINLength", i.MaxPINLength, i.MaxPINLength != 0)
	set(m, "encCredStoreState", api.Bytes(i.EncCredStoreState), len(i.EncCredStoreState) > 0)
	set(m, "authenticatorConfigCommands", i.AuthenticatorConfigCommands, len(i.AuthenticatorConfigCommands) > 0)
	return m
}

func set(m map[string]any, name string, v any, present bool) {
	if present {
		m[name] = v
	}
}

func setPointer[T any](m map[string]any, name string, v *T) {
	if v != nil {
		m[name] = *v
	}
}
