package api

import "time"

// AuditRecord is a line of the audit log.
type AuditRecord struct {
	Seq       uint64   `json:"seq"`
	Time      string   `json:"time"` // RFC 3339
	Operation string   `json:"operation"`
	Scope     string   `json:"scope,omitempty"`
	User      string   `json:"user,omitempty"`
	UID       *uint32  `json:"uid,omitempty"`
	PID       int      `json:"pid,omitempty"`
	Program   string   `json:"program,omitempty"`
	Exe       string   `json:"exe,omitempty"`
	App       string   `json:"app,omitempty"` // systemd unit, or flatpak or snap
	Session   string   `json:"session,omitempty"`
	FrontEnd  string   `json:"frontEnd,omitempty"` // socket, dbus, shared-key, lease, daemon
	Key       string   `json:"key,omitempty"`
	Serial    string   `json:"serial,omitempty"`
	AAGUID    string   `json:"aaguid,omitempty"`
	Emulated  bool     `json:"emulated,omitempty"`
	RPID      string   `json:"rpId,omitempty"`
	Origin    string   `json:"origin,omitempty"`
	Purpose   string   `json:"purpose,omitempty"`
	Decision  string   `json:"decision,omitempty"` // allow, deny, consent, grant
	Policies  []string `json:"policies,omitempty"` // the rules that decided
	Result    string   `json:"result,omitempty"`   // ok, or the code of the error
	// UserPresent and UserVerified are what the key says of the person.
	UserPresent  bool   `json:"userPresent,omitempty"`
	UserVerified bool   `json:"userVerified,omitempty"`
	TookUS       int64  `json:"tookUs,omitempty"` // µs
	Detail       string `json:"detail,omitempty"`
	Prev         string `json:"prev"` // hash of the line before
	Hash         string `json:"hash"`
}

// AuditListRequest asks for lines of the audit log, oldest first. Members that are empty choose all.
type AuditListRequest struct {
	After     uint64 `json:"after,omitempty"` // only lines with greater numbers
	Since     string `json:"since,omitempty"` // RFC 3339
	Until     string `json:"until,omitempty"` // RFC 3339, not included
	User      string `json:"user,omitempty"`
	Operation string `json:"operation,omitempty"`
	Key       string `json:"key,omitempty"`
	Limit     int    `json:"limit,omitempty"` // 100 if missing, at most 1000
	Last      bool   `json:"last,omitempty"`  // the last ones, not the first
}

// AuditListResult is the answer to [OpAuditList].
type AuditListResult struct {
	Records []AuditRecord `json:"records"`
	// Next is what the next request says as After; 0 when these are the last lines.
	Next uint64 `json:"next,omitempty"`
	// Damaged are lines that cannot be read; audit-verify says more.
	Damaged []string `json:"damaged,omitempty"`
}

// AuditVerifyRequest asks whether the chain of the audit log is whole.
type AuditVerifyRequest struct {
	// Head is one that was told before and kept elsewhere; without one it cannot be seen that the end was cut
	// off.
	Head string `json:"head,omitempty"`
	// TimeoutMS bounds the check, in milliseconds; a million lines take some seconds.
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// Timeout is TimeoutMS as a duration.
func (r AuditVerifyRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// AuditVerifyResult is the answer to [OpAuditVerify].
type AuditVerifyResult struct {
	Whole    bool   `json:"whole"`
	Files    int    `json:"files"`
	Lines    uint64 `json:"lines"`
	FirstSeq uint64 `json:"firstSeq"`
	First    string `json:"first,omitempty"` // time of the first line
	Last     string `json:"last,omitempty"`
	// Head names the last line: keep it elsewhere.
	Head string `json:"head"`
	// Dropped is how many old files are deleted, as the log says; Torn how often a crash tore a line, Gaps how
	// often lines could not be written.
	Dropped int64  `json:"dropped,omitempty"`
	Torn    int    `json:"torn,omitempty"`
	Gaps    int    `json:"gaps,omitempty"`
	Fault   string `json:"fault,omitempty"` // the first thing that is wrong, with file and line
	TookMS  int64  `json:"tookMs"`
}
