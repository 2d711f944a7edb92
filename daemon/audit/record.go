package audit

import "time"

// Record is what the log says about one thing that was done, refused or agreed to. Only Time and
// Operation are always there. Texts that are too long are cut and end with "…"; bytes that are
// not UTF-8 become U+FFFD.
type Record struct {
	// Time is when it was done, in UTC. [Log.Append] fills in a zero one.
	Time time.Time `json:"time"`
	// Operation is one of the api.Op constants, or a word of the daemon's own.
	Operation string `json:"operation"`
	Scope     string `json:"scope,omitempty"`

	// User, UID, PID, Program, Exe, App and Session say who asked. UID is nil where it is not
	// known, for 0 is root's. App is a systemd unit, or the id of a flatpak or snap.
	User    string  `json:"user,omitempty"`
	UID     *uint32 `json:"uid,omitempty"`
	PID     int     `json:"pid,omitempty"`
	Program string  `json:"program,omitempty"`
	Exe     string  `json:"exe,omitempty"`
	App     string  `json:"app,omitempty"`
	Session string  `json:"session,omitempty"`
	// FrontEnd is the way in, one of the FrontEnd constants.
	FrontEnd string `json:"frontEnd,omitempty"`

	// Key is the id of the key that was used, Serial its number, AAGUID its model.
	Key      string `json:"key,omitempty"`
	Serial   string `json:"serial,omitempty"`
	AAGUID   string `json:"aaguid,omitempty"`
	Emulated bool   `json:"emulated,omitempty"`

	RPID    string `json:"rpId,omitempty"`
	Origin  string `json:"origin,omitempty"`
	Purpose string `json:"purpose,omitempty"`

	// Decision is one of the Decision constants, Policies the ids of the rules that led to it.
	Decision string   `json:"decision,omitempty"`
	Policies []string `json:"policies,omitempty"`
	// Result is [ResultOK] or a code of the api package.
	Result string `json:"result,omitempty"`
	// UserPresent and UserVerified are what the key says of the person.
	UserPresent  bool `json:"userPresent,omitempty"`
	UserVerified bool `json:"userVerified,omitempty"`
	// TookUS is how long it took, in microseconds.
	TookUS int64  `json:"tookUs,omitempty"`
	Detail string `json:"detail,omitempty"`

	// Version and File are for the log's own records: the version of the format, and the number
	// of the file that the record is about. [Log.Append] clears them.
	Version int   `json:"version,omitempty"`
	File    int64 `json:"file,omitempty"`
}

// Ways into the daemon.
const (
	FrontEndSocket    = "socket"
	FrontEndDBus      = "dbus"
	FrontEndSharedKey = "shared-key"
	FrontEndLease     = "lease"
	FrontEndDaemon    = "daemon" // the daemon itself
)

// What was decided.
const (
	DecisionAllow   = "allow"
	DecisionDeny    = "deny"
	DecisionConsent = "consent" // a person agreed
	DecisionGrant   = "grant"   // a person or a rule had agreed before
)

// ResultOK is the result of what went well.
const ResultOK = "ok"

// Operations of the log's own records. [Log.Append] refuses them.
const (
	OpBegin = "audit-begin" // a file begins
	OpTorn  = "audit-torn"  // bytes were moved out of the log
	OpGap   = "audit-gap"   // records could not be written
	OpDrop  = "audit-drop"  // old files are deleted
)

// Version is the version of the format, as the first line of every file has it.
const Version = 1

// Sizes of texts, in bytes before they are escaped. With every text at its limit and every byte
// in need of an escape, a line still fits into maxLine.
const (
	shortText   = 256
	mediumText  = 1024
	longText    = 4096
	maxPolicies = 64
	maxLine     = 256 << 10
)

// coder encodes or decodes a member, in the order in which it is asked to. Each method returns
// what the member's value is after that.
type coder interface {
	text(name string, limit int, value string) string
	texts(name string, limit int, value []string) []string
	number(name string, value int64) int64
	id(name string, value *uint32) *uint32
	flag(name string, value bool) bool
	time(name string, value time.Time) time.Time
}

// code is the table of the members of a line between "seq" and "prev".
func (r *Record) code(c coder) {
	r.Time = c.time("time", r.Time)
	r.Operation = c.text("operation", shortText, r.Operation)
	r.Scope = c.text("scope", shortText, r.Scope)
	r.User = c.text("user", shortText, r.User)
	r.UID = c.id("uid", r.UID)
	r.PID = int(c.number("pid", int64(r.PID)))
	r.Program = c.text("program", mediumText, r.Program)
	r.Exe = c.text("exe", longText, r.Exe)
	r.App = c.text("app", shortText, r.App)
	r.Session = c.text("session", shortText, r.Session)
	r.FrontEnd = c.text("frontEnd", shortText, r.FrontEnd)
	r.Key = c.text("key", shortText, r.Key)
	r.Serial = c.text("serial", shortText, r.Serial)
	r.AAGUID = c.text("aaguid", shortText, r.AAGUID)
	r.Emulated = c.flag("emulated", r.Emulated)
	r.RPID = c.text("rpId", shortText, r.RPID)
	r.Origin = c.text("origin", mediumText, r.Origin)
	r.Purpose = c.text("purpose", mediumText, r.Purpose)
	r.Decision = c.text("decision", shortText, r.Decision)
	r.Policies = c.texts("policies", shortText, r.Policies)
	r.Result = c.text("result", shortText, r.Result)
	r.UserPresent = c.flag("userPresent", r.UserPresent)
	r.UserVerified = c.flag("userVerified", r.UserVerified)
	r.TookUS = c.number("tookUs", r.TookUS)
	r.Detail = c.text("detail", longText, r.Detail)
	r.Version = int(c.number("version", int64(r.Version)))
	r.File = c.number("file", r.File)
}

// own says whether an operation is one of the log's own records.
func own(operation string) bool {
	switch operation {
	case OpBegin, OpTorn, OpGap, OpDrop:
		return true
	}
	return false
}
