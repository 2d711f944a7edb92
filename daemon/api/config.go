package api

// ConfigRequest asks what of a key can be configured and how it is.
type ConfigRequest struct {
	Key       string `json:"key,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// ConfigResult is the configuration of a key (CTAP 2.3, sections 6.4 and 6.11). Nil members are
// things that the key does not have.
type ConfigResult struct {
	Key                   Key    `json:"key"`
	EnterpriseAttestation *bool  `json:"enterpriseAttestation,omitempty"`
	AlwaysUV              *bool  `json:"alwaysUv,omitempty"`
	MinPINLength          uint   `json:"minPinLength,omitempty"` // code points
	MaxPINLength          uint   `json:"maxPinLength,omitempty"` // code points
	MaxMinPINRPIDs        *uint  `json:"maxMinPinRpIds,omitempty"`
	ForcePINChange        *bool  `json:"forcePinChange,omitempty"`
	PINComplexityPolicy   *bool  `json:"pinComplexityPolicy,omitempty"`
	PINComplexityURL      string `json:"pinComplexityUrl,omitempty"`
	LongTouchForReset     *bool  `json:"longTouchForReset,omitempty"`
	// Commands are the names of what can be changed: "enterprise-attestation", "always-uv",
	// "min-pin", "long-touch-reset", "vendor".
	Commands       []string `json:"commands"`
	VendorCommands []uint64 `json:"vendorCommands,omitempty"`
	// Identifier and CredentialStore are what encIdentifier and encCredStoreState say, when the
	// request came with a verified person; see [ConfigIdentifyRequest].
	Identifier      Bytes `json:"identifier,omitempty"`
	CredentialStore Bytes `json:"credentialStore,omitempty"`
}

// ConfigIdentifyRequest asks for the configuration with what only a verified person may know:
// the key's identifier and the state of its credential store (CTAP 2.3, section 6.4,
// encIdentifier and encCredStoreState).
type ConfigIdentifyRequest struct {
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// ConfigEnterpriseRequest turns enterprise attestation on. Only a reset turns it off; the
// person is asked first.
type ConfigEnterpriseRequest struct {
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// ConfigAlwaysUVRequest makes a key verify the person for everything, or stops that. Asking for
// the state that it is in does nothing.
type ConfigAlwaysUVRequest struct {
	Key            string `json:"key,omitempty"`
	On             bool   `json:"on"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// ConfigMinPINRequest sets the rules for PINs. Nil and empty members stay. A longer minimum and
// a complexity policy can't be taken back but by a reset; the person is asked first.
type ConfigMinPINRequest struct {
	Key       string `json:"key,omitempty"`
	MinLength *uint  `json:"minLength,omitempty"` // code points
	// RPIDs are the sites that may ask for the minimum by the extension minPinLength.
	RPIDs          []string `json:"rpIds,omitempty"`
	ForceChange    bool     `json:"forceChange,omitempty"`
	Complexity     bool     `json:"complexity,omitempty"`
	AllowLastRetry bool     `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32   `json:"timeout,omitempty"`
}

// ConfigLongTouchRequest makes a reset need a long touch. Only a reset takes it back; the
// person is asked first.
type ConfigLongTouchRequest struct {
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// ConfigVendorRequest sends a vendor's prototype command; the person is asked first.
type ConfigVendorRequest struct {
	Key     string `json:"key,omitempty"`
	Command uint64 `json:"command"`
	// Data is CBOR for the command's parameter 2, empty for none.
	Data           Bytes  `json:"data,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}
