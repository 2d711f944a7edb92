package api

// Token is a token for one-time codes, without its seed.
type Token struct {
	Serial       string `json:"serial"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	Issuer       string `json:"issuer,omitempty"`
	// Kind is hotp, totp, ocra or steam.
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
}

// TokenImportRequest brings tokens from a seed file, all or none.
type TokenImportRequest struct {
	// Data is the file.
	Data Bytes `json:"data"`
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

// UserResult is the answer to [OpUserUnlock].
type UserResult struct {
	User string `json:"user"`
}
