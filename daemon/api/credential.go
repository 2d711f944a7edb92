package api

// CredentialListRequest asks for the discoverable credentials of a key. The person gives the
// PIN or a finger.
type CredentialListRequest struct {
	Key string `json:"key,omitempty"`
	// RPID limits the list to one site; empty means all.
	RPID           string `json:"rpId,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// CredentialListResult is the answer to [OpCredentialList].
type CredentialListResult struct {
	Key      Key  `json:"key"`
	Existing uint `json:"existing"` // discoverable credentials on the key
	// Remaining is how many more fit at least, as the key estimates it.
	Remaining uint           `json:"remaining"`
	Sites     []RelyingParty `json:"sites"`
}

// RelyingParty is a site and its credentials on a key.
type RelyingParty struct {
	RPID string `json:"rpId"` // as the key tells it; some keys cut it
	Name string `json:"name,omitempty"`
	// RPIDHash is the SHA-256 of the whole RP ID.
	RPIDHash    Bytes                    `json:"rpIdHash"`
	Credentials []DiscoverableCredential `json:"credentials"`
}

// DiscoverableCredential is a credential that a key stores (CTAP 2.3, section 6.8.4).
type DiscoverableCredential struct {
	ID          Bytes  `json:"id"`
	UserID      Bytes  `json:"userId"`
	UserName    string `json:"userName,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
	Algorithm   string `json:"algorithm,omitempty"` // COSE name
	PublicKey   Bytes  `json:"publicKey,omitempty"` // COSE_Key
	// CredProtect is "userVerificationOptional",
	// "userVerificationOptionalWithCredentialIDList" or "userVerificationRequired".
	CredProtect       string `json:"credProtect,omitempty"`
	LargeBlob         bool   `json:"largeBlob,omitempty"` // it can have a blob
	ThirdPartyPayment bool   `json:"thirdPartyPayment,omitempty"`
}

// CredentialRequest names a credential on a key, by its id or an unambiguous beginning of the
// id's base64url form, or by the name of its user when only one has it.
type CredentialRequest struct {
	Key            string `json:"key,omitempty"`
	RPID           string `json:"rpId,omitempty"` // to look at one site only
	Credential     string `json:"credential"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// CredentialRenameRequest changes what a key tells of a credential's user (CTAP 2.3, section
// 6.8.6). Nil members stay, empty ones are taken away.
type CredentialRenameRequest struct {
	Key            string  `json:"key,omitempty"`
	RPID           string  `json:"rpId,omitempty"`
	Credential     string  `json:"credential"`
	UserName       *string `json:"userName,omitempty"`
	DisplayName    *string `json:"displayName,omitempty"`
	AllowLastRetry bool    `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32  `json:"timeout,omitempty"`
}

// CredentialResult is a credential after an operation on it; for [OpCredentialDelete] the one
// that is gone.
type CredentialResult struct {
	Key        Key                    `json:"key"`
	RPID       string                 `json:"rpId"`
	Name       string                 `json:"name,omitempty"` // of the site
	Credential DiscoverableCredential `json:"credential"`
}
