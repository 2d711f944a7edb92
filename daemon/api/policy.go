package api

// Rule is a rule of the policy.
type Rule struct {
	ID     string `json:"id"`
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1
	Effect string `json:"effect"` // "allow" or "deny": what it says when it applies
	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"` // in Cedar, for policy-list
}

// PolicyListRequest asks for the rules that hold.
type PolicyListRequest struct{}

// PolicyListResult is the answer to [OpPolicyList].
type PolicyListResult struct {
	Rules []Rule `json:"rules"`
	// Schema is what rules can speak of, in Cedar's schema language.
	Schema string `json:"schema"`
}

// PolicyCheckRequest asks whether a file of rules could stand beside those that hold.
type PolicyCheckRequest struct {
	Name string `json:"name"` // of the file: one of the same name is replaced
	Text string `json:"text"`
}

// PolicyCheckResult is the answer to [OpPolicyCheck].
type PolicyCheckResult struct {
	// Errors say what is wrong with the file; none if it is right.
	Errors []string `json:"errors"`
}

// PolicyExplainRequest asks how a request would be decided, and by which rules. Empty members are what is
// known of the program that asks; only administrators ask for others.
type PolicyExplainRequest struct {
	Operation string   `json:"operation"` // of the table, or claim-origin, events, prompts, objects
	User      string   `json:"user,omitempty"`
	Groups    []string `json:"groups,omitempty"` // with User; those of the user database if missing
	Exe       string   `json:"exe,omitempty"`
	Unit      string   `json:"unit,omitempty"`
	Flatpak   string   `json:"flatpak,omitempty"`
	Snap      string   `json:"snap,omitempty"`
	Key       string   `json:"key,omitempty"` // id or serial number; a key that is not there is taken by its name
	Origin    string   `json:"origin,omitempty"`
	RPID      string   `json:"rpId,omitempty"`
	// Given is what a person has shown, for second-factor: key, verification, code, recovery.
	Given []string `json:"given,omitempty"`
}

// PolicyExplainResult is the answer to [OpPolicyExplain].
type PolicyExplainResult struct {
	Decision string `json:"decision"` // "allow", "deny", or "ask": a person must agree
	// Rules decided; none when nothing permits it.
	Rules []Rule `json:"rules"`
	// Looked are the rules whose scope fits the request; those that did not decide did not apply.
	Looked []Rule `json:"looked"`
	// Grants are the spans for which a person may agree.
	Grants []string `json:"grants,omitempty"`
	// Request is what the rules were told, for people.
	Request map[string]string `json:"request"`
}

// Grant is what a person has agreed to for longer than once.
type Grant struct {
	ID      string `json:"id"`
	User    string `json:"user"`
	Program string `json:"program,omitempty"`
	App     string `json:"app"` // executable, flatpak:ID, snap:NAME, or one process
	RPID    string `json:"rpId,omitempty"`
	Key     string `json:"key,omitempty"` // the only key that it holds for
	Session string `json:"session,omitempty"`
	// Until is "lock", "unplug", or when it ends, RFC 3339.
	Until string `json:"until"`
	Given string `json:"given"` // RFC 3339
	Uses  int    `json:"uses"`
}

// GrantListRequest asks for the grants of the user, an administrator for those of all.
type GrantListRequest struct{}

// GrantListResult is the answer to [OpGrantList].
type GrantListResult struct {
	Grants []Grant `json:"grants"`
}

// GrantRevokeRequest ends a grant, or with All all that the user sees.
type GrantRevokeRequest struct {
	Grant string `json:"grant,omitempty"`
	All   bool   `json:"all,omitempty"`
}

// GrantRevokeResult says how many grants were ended.
type GrantRevokeResult struct {
	Revoked int `json:"revoked"`
}
