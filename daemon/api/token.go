package api

// Token is a token for one-time codes, without its seed, or a security key of a person.
type Token struct {
	Serial       string `json:"serial"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	Issuer       string `json:"issuer,omitempty"`
	// Kind is hotp, totp, ocra, steam or fido.
	Kind   string `json:"kind"`
	Hash   string `json:"hash,omitempty"`
	Digits int    `json:"digits,omitempty"`
	Period int64  `json:"period,omitempty"` // seconds
	Suite  string `json:"suite,omitempty"`  // OCRA's
	// State is imported, assigned, active, disabled, locked, lost or retired.
	State string `json:"state"`
	User  string `json:"user,omitempty"`
	// Counter is the first counter or time step that can still be accepted.
	Counter  uint64 `json:"counter"`
	Drift    int64  `json:"drift,omitempty"` // of its clock, in steps
	Failures int    `json:"failures,omitempty"`
	LastUsed string `json:"lastUsed,omitempty"` // RFC 3339
	Expires  string `json:"expires,omitempty"`  // RFC 3339
	// What follows is of security keys, whose kind is fido: for which site the credential is, the model and its name, the firmware's number,
	// and the type of attestation that was verified.
	RPID        string `json:"rpId,omitempty"`
	AAGUID      string `json:"aaguid,omitempty"`
	ModelName   string `json:"modelName,omitempty"`
	Firmware    uint64 `json:"firmware,omitempty"`
	Attestation string `json:"attestation,omitempty"`
	Emulated    bool   `json:"emulated,omitempty"`
}

// TokenImportRequest brings tokens from a seed file, all or none.
type TokenImportRequest struct {
	// Data is the file; Files are several, which are read as one: pictures of QR codes, and files of URIs.
	Data  Bytes   `json:"data,omitempty"`
	Files []Bytes `json:"files,omitempty"`
	// Format is what it must be, empty to find out.
	Format string `json:"format,omitempty"`
	// Key or Passphrase open an encrypted PSKC file.
	Key        Bytes `json:"key,omitempty"`
	Passphrase Bytes `json:"passphrase,omitempty"`
	// DryRun changes nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// TokenImportLine says what became of a token of the file.
type TokenImportLine struct {
	Line   int    `json:"line,omitempty"`
	Serial string `json:"serial,omitempty"`
	// Verdict is new, known, conflicting or refused.
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	// SameSeed is another token with the same seed.
	SameSeed string `json:"sameSeed,omitempty"`
}

// TokenImportResult is the answer to [OpTokenImport].
type TokenImportResult struct {
	Format string `json:"format"`
	// Imported is false when some token is conflicting or refused: then none was taken.
	Imported bool              `json:"imported"`
	Lines    []TokenImportLine `json:"lines"`
}

// TokenListRequest asks for tokens; empty members do not limit.
type TokenListRequest struct {
	State string `json:"state,omitempty"`
	User  string `json:"user,omitempty"`
	// After is the serial to begin behind, Limit how many there are at most: 1000 by default and at most.
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// TokenListResult is the answer to [OpTokenList].
type TokenListResult struct {
	Tokens []Token `json:"tokens"`
	// More says that there are tokens behind the last one.
	More bool `json:"more,omitempty"`
}

// TokenRequest names a token.
type TokenRequest struct {
	Serial string `json:"serial"`
}

// TokenAssignRequest gives a token to a person.
type TokenAssignRequest struct {
	Serial string `json:"serial"`
	User   string `json:"user"`
}

// TokenResult is a token as it is now.
type TokenResult struct {
	Token Token `json:"token"`
}

// TokenCodesRequest gives two codes of a token that follow each other.
type TokenCodesRequest struct {
	Serial string `json:"serial"`
	// User is whose it is to be, for [OpTokenEnroll].
	User  string `json:"user,omitempty"`
	Code1 string `json:"code1"`
	Code2 string `json:"code2"`
}

// TokenVerifyRequest asks whether a code is a person's. An accepted one is spent.
type TokenVerifyRequest struct {
	User string `json:"user"`
	Code string `json:"code"`
}

// TokenVerifyResult is the answer to [OpTokenVerify] about a code that is accepted.
type TokenVerifyResult struct {
	User string `json:"user"`
	// Serial is the token, empty for a recovery code.
	Serial   string `json:"serial,omitempty"`
	Recovery bool   `json:"recovery,omitempty"`
	Drift    int64  `json:"drift,omitempty"` // in steps
}

// TokenFindRequest has a code that a token shows now.
type TokenFindRequest struct {
	Code string `json:"code"`
}

// TokenLostRequest ends a token at once.
type TokenLostRequest struct {
	Serial string `json:"serial"`
	// Codes is how many recovery codes its owner gets, Hours for how long they hold; 0 means 0 codes and 24 hours.
	Codes int `json:"codes,omitempty"`
	Hours int `json:"hours,omitempty"`
}

// RecoveryCodesRequest asks for recovery codes in place of those that a person has.
type RecoveryCodesRequest struct {
	User  string `json:"user"`
	Codes int    `json:"codes,omitempty"` // 8 if missing
	Hours int    `json:"hours,omitempty"` // 24 if missing
}

// RecoveryCodesResult has recovery codes. They are not shown again.
type RecoveryCodesResult struct {
	Codes   []string `json:"codes"`
	Expires string   `json:"expires,omitempty"` // RFC 3339
}

// UserRequest names a person.
type UserRequest struct {
	User string `json:"user"`
}

// UserResult names a person.
type UserResult struct {
	User string `json:"user"`
}

// TokenCreateRequest makes a new token with a seed of the daemon's choice, for an authenticator app.
type TokenCreateRequest struct {
	User string `json:"user"`
	// Issuer stands before the name in the app; the daemon's own name if missing.
	Issuer string `json:"issuer,omitempty"`
	// Kind is totp (if missing) or hotp; Hash SHA1 (if missing), SHA256 or SHA512; Digits 6 (if missing) or 8; Period 30 (if missing) or
	// another number of seconds. Many apps know the defaults only.
	Kind   string `json:"kind,omitempty"`
	Hash   string `json:"hash,omitempty"`
	Digits int    `json:"digits,omitempty"`
	Period int64  `json:"period,omitempty"`
}

// TokenCreateResult has the seed, in three forms. It is not shown again.
type TokenCreateResult struct {
	Token Token `json:"token"`
	URI   Bytes `json:"uri"` // otpauth://…
	PNG   Bytes `json:"png"` // a QR code
	// Text is the same for a terminal with light text on dark, Inverted for one with dark text on light.
	Text     string `json:"text"`
	Inverted string `json:"inverted"`
}

// TokenExportRequest takes tokens out, with their seeds, as an encrypted PSKC file (RFC 6030).
type TokenExportRequest struct {
	// Serials are which; with All all that have seeds.
	Serials []string `json:"serials,omitempty"`
	All     bool     `json:"all,omitempty"`
	// Key (16, 24 or 32 bytes) or Passphrase encrypts it.
	Key        Bytes `json:"key,omitempty"`
	Passphrase Bytes `json:"passphrase,omitempty"`
}

// TokenExportResult is the answer to [OpTokenExport].
type TokenExportResult struct {
	Data   Bytes `json:"data"`
	Tokens int   `json:"tokens"`
}

// TokenChallengeResult is a question for a token that answers some (OCRA, RFC 6287).
type TokenChallengeResult struct {
	Serial    string `json:"serial"`
	Challenge string `json:"challenge"`
	Expires   string `json:"expires"` // RFC 3339
}

// TokenAnswerRequest has the answer to a challenge.
type TokenAnswerRequest struct {
	Serial string `json:"serial"`
	Code   string `json:"code"`
}

// StoreBackupRequest asks for a backup of people, tokens and keys.
type StoreBackupRequest struct{}

// StoreBackupResult has a backup. Seeds are sealed in it: it is of no use without the key file.
type StoreBackupResult struct {
	Data Bytes `json:"data"`
	StoreContents
}

// StoreContents says what a backup or a store has.
type StoreContents struct {
	Users  int    `json:"users"`
	Tokens int    `json:"tokens"`
	Taken  string `json:"taken,omitempty"` // RFC 3339, of a backup
}

// StoreRestoreRequest has a backup, to be put into an empty store.
type StoreRestoreRequest struct {
	Data Bytes `json:"data"`
}

// StoreRestoreResult is the answer to [OpStoreRestore].
type StoreRestoreResult struct {
	StoreContents
	// Resync are tokens that must be enrolled again by two codes, so that none is accepted twice.
	Resync []string `json:"resync,omitempty"`
}

// StoreCheckRequest asks whether the store is whole and all seeds can be opened; with Data, the same of a backup.
type StoreCheckRequest struct {
	Data Bytes `json:"data,omitempty"`
}

// StoreCheckResult is the answer to [OpStoreCheck].
type StoreCheckResult struct {
	StoreContents
	// Errors are what is wrong; none when all is well.
	Errors []string `json:"errors"`
}

// StoreResealRequest asks for all seeds to be sealed with the first key of the key file; with NewKey one is made and put there first.
type StoreResealRequest struct {
	NewKey bool `json:"newKey,omitempty"`
}

// StoreResealResult is the answer to [OpStoreReseal].
type StoreResealResult struct {
	Resealed int `json:"resealed"`
	// KeyFile is where the new key is.
	KeyFile string `json:"keyFile,omitempty"`
}
