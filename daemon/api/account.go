package api

// Account is one of those that a plugged-in token makes one-time codes for. The token keeps its seed; nobody can read it.
type Account struct {
	// Key is the id of the key that it is on.
	Key     string `json:"key"`
	KeyName string `json:"keyName"`
	Issuer  string `json:"issuer,omitempty"`
	Name    string `json:"name"`
	// Kind is "totp", "hotp", "steam", "password" (login and password only) or "other" (makes no codes).
	Kind string `json:"kind"`
	// Hash is "SHA1", "SHA256" or "SHA512"; it and Digits are missing where the token does not tell them.
	Hash   string `json:"hash,omitempty"`
	Digits int    `json:"digits,omitempty"`
	Period int64  `json:"period,omitempty"` // seconds
	// Touch says that each code wants a touch, as far as the token tells; PIN that it wants the token's PIN.
	Touch bool `json:"touch,omitempty"`
	PIN   bool `json:"pin,omitempty"`
}

// What can be missing for a code, in [OneTimeCode].
const (
	NeedTouch   = "touch"   // the token must be touched
	NeedCounter = "counter" // reading the code counts
	NeedPIN     = "pin"     // the token's PIN must be entered
)

// OneTimeCode is the code of an account.
type OneTimeCode struct {
	Account
	// Code is empty when something is missing for it, which Need says then: ask for this account alone.
	Code string `json:"code,omitempty"`
	Need string `json:"need,omitempty"`
	// From and Until bound when it is shown (RFC 3339); they are empty for HOTP.
	From  string `json:"from,omitempty"`
	Until string `json:"until,omitempty"`
}

// CodeRequest asks for the code of an account, or for all that need no touch and count nothing.
type CodeRequest struct {
	// Account is an issuer and a name as "issuer:name", one of them, or a part of them that fits one account only; empty for all.
	Account string `json:"account,omitempty"`
	Key     string `json:"key,omitempty"`
	// Two asks for two codes in a row, as some sites want them: the one before, which is shown no more, and that of now.
	Two            bool   `json:"two,omitempty"`
	Purpose        string `json:"purpose,omitempty"` // shown to the person
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// CodeResult has the codes, in the order of their accounts' names. Failed are the keys that could not be asked.
type CodeResult struct {
	Codes  []OneTimeCode `json:"codes"`
	Failed []*Error      `json:"failed,omitempty"`
}

// AccountListRequest asks for the accounts on a key, or on all that are attached.
type AccountListRequest struct {
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// AccountListResult has the accounts, and the tokens that they are on.
type AccountListResult struct {
	Accounts []Account      `json:"accounts"`
	Tokens   []AccountToken `json:"tokens"`
	Failed   []*Error       `json:"failed,omitempty"`
}

// AccountToken is a plugged-in token that can have accounts.
type AccountToken struct {
	Key     string `json:"key"`
	KeyName string `json:"keyName"`
	// Way is how it is spoken to: "oath", "nitrokey-pro" or "token2".
	Way     string `json:"way"`
	Version string `json:"version,omitempty"`
	Serial  string `json:"serial,omitempty"`
	// Protection is "code" for an access code, "pin", or empty.
	Protection string `json:"protection,omitempty"`
	// Tries is how many tries the PIN has left.
	Tries *int `json:"tries,omitempty"`
	// Unseen says that the daemon's driver was written from the protocol and has not met such a device.
	Unseen bool `json:"unseen,omitempty"`
}

// AccountAddRequest puts accounts on a token. It has URI or Files.
type AccountAddRequest struct {
	Key string `json:"key,omitempty"`
	// URI is an otpauth or otpauth-migration URI.
	URI string `json:"uri,omitempty"`
	// Files are PNG or JPEG pictures with QR codes of such URIs, or texts of them, one a line.
	Files []Bytes `json:"files,omitempty"`
	// Touch wants a touch for each code, PIN the token's PIN.
	Touch bool `json:"touch,omitempty"`
	PIN   bool `json:"pin,omitempty"`
	// Overwrite replaces accounts of the same name, where the token can do that.
	Overwrite      bool   `json:"overwrite,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// AccountAddResult says what was added. Failed are those that were not; if none was added, there is an error instead.
type AccountAddResult struct {
	Added  []Account        `json:"added"`
	Failed []AccountFailure `json:"failed,omitempty"`
}

// AccountFailure is an account that was not added, and why.
type AccountFailure struct {
	Issuer string `json:"issuer,omitempty"`
	Name   string `json:"name"`
	Error  *Error `json:"error"`
}

// AccountRequest names an account, as in [CodeRequest].
type AccountRequest struct {
	Account        string `json:"account"`
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// AccountRenameRequest gives an account another name.
type AccountRenameRequest struct {
	Account string `json:"account"`
	Key     string `json:"key,omitempty"`
	// Issuer and Name are the new ones.
	Issuer         string `json:"issuer,omitempty"`
	Name           string `json:"name"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// AccountResult is an account after a change.
type AccountResult struct {
	Account Account `json:"account"`
}

// AccountProtectRequest sets or changes the access code or PIN of a token's accounts, which the person is asked for.
type AccountProtectRequest struct {
	Key string `json:"key,omitempty"`
	// Remove takes an access code away.
	Remove         bool   `json:"remove,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// AccountTokenResult is a token after a change.
type AccountTokenResult struct {
	Token AccountToken `json:"token"`
}

// AccountResetRequest deletes all accounts of a token, with what protects them.
type AccountResetRequest struct {
	Key       string `json:"key,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// TokenCodeRequest asks for the code that a registered token shows.
type TokenCodeRequest struct {
	Serial string `json:"serial"`
	// Two asks for the one before as well.
	Two bool `json:"two,omitempty"`
}

// TokenCodeResult has the code of a registered token.
type TokenCodeResult struct {
	Serial string `json:"serial"`
	Code   string `json:"code"`
	From   string `json:"from"`  // RFC 3339
	Until  string `json:"until"` // RFC 3339
	// Before is the code that was shown before that one, if it was asked for.
	Before string `json:"before,omitempty"`
}
