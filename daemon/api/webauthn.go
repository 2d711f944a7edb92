package api

import "encoding/json"

// RegisterRequest asks for a new credential. The daemon acts as the WebAuthn client:
// it builds the client data from Origin and checks the RP ID against it.
type RegisterRequest struct {
	Key    string `json:"key,omitempty"`
	Origin string `json:"origin"`
	// Options is a PublicKeyCredentialCreationOptionsJSON (WebAuthn Level 3, section 5.4).
	Options json.RawMessage `json:"options"`
	Purpose string          `json:"purpose,omitempty"`
	// AllowLastRetry permits to spend the last PIN retry.
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// RegisterResult holds a RegistrationResponseJSON (WebAuthn Level 3, section 5.1.8)
// and the key that made it.
type RegisterResult struct {
	Key        Key             `json:"key"`
	Credential json.RawMessage `json:"credential"`
}

// AssertRequest asks for an assertion.
type AssertRequest struct {
	Key    string `json:"key,omitempty"`
	Origin string `json:"origin"`
	// Options is a PublicKeyCredentialRequestOptionsJSON (WebAuthn Level 3, section 5.5).
	Options        json.RawMessage `json:"options"`
	Purpose        string          `json:"purpose,omitempty"`
	AllowLastRetry bool            `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32          `json:"timeout,omitempty"`
}

// AssertResult holds an AuthenticationResponseJSON (WebAuthn Level 3, section 5.1.8)
// and the key that made it.
type AssertResult struct {
	Key        Key             `json:"key"`
	Credential json.RawMessage `json:"credential"`
}

// CheckRequest asks for the check that a relying party makes of a registration or
// an assertion. With CreationOptions it is a registration, with RequestOptions an assertion.
type CheckRequest struct {
	Origin          string          `json:"origin"`
	CreationOptions json.RawMessage `json:"creationOptions,omitempty"`
	RequestOptions  json.RawMessage `json:"requestOptions,omitempty"`
	// Credential is the response to check, as register and assert gave it.
	Credential json.RawMessage `json:"credential"`
	// Registered is what an earlier verify of a registration returned; needed for assertions.
	Registered *Registered `json:"registered,omitempty"`
}

// Registered is what a relying party keeps of a registration.
type Registered struct {
	CredentialID   Bytes  `json:"credentialId"`
	PublicKey      Bytes  `json:"publicKey"` // COSE_Key
	UserID         Bytes  `json:"userId"`
	SignCount      uint32 `json:"signCount"`
	AAGUID         string `json:"aaguid"`
	BackupEligible bool   `json:"backupEligible"`
}

// CheckResult says that the check succeeded; a failed one is an [Error] with [CodeVerifyFailed].
type CheckResult struct {
	Registered   Registered `json:"registered"` // to keep: with the new counter after an assertion
	UserPresent  bool       `json:"userPresent"`
	UserVerified bool       `json:"userVerified"`
	Format       string     `json:"format,omitempty"`      // attestation statement format
	Attestation  string     `json:"attestation,omitempty"` // "basic_full", "basic_surrogate", "none", …
}
