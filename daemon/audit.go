package daemon

import (
	"context"
	"io/fs"
	"strings"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/audit"
	"github.com/fobd/fobd/daemon/policy"
)

// Audit is the audit log of an engine; the zero value is none.
type Audit struct {
	Log *audit.Log
	// Files are the log's folder, to be read and verified.
	Files fs.FS
	// Required fails operations that cannot be written down: what they did is then done, but the
	// program hears an error.
	Required bool
}

// audit counts the operation and writes down how the operation ended. What changes a key or the daemon is on the disk before it is
// answered, the rest as the log's policy has it.
func (c *call) audit(ctx context.Context, err error) {
	r := c.record(err)
	c.e.cfg.Observer.Operation(Observation{
		Operation: r.Operation, Result: r.Result, Decision: r.Decision, Took: time.Duration(r.TookUS) * time.Microsecond,
	})
	log := c.e.cfg.Audit.Log
	if log == nil {
		return
	}
	if err := log.Append(context.WithoutCancel(ctx), &r, c.op.Scope == policy.ScopeAdmin); err != nil {
		c.e.log.Error("the audit log cannot be written", "operation", c.op.Name, "error", err)
		c.unwritten = true
	}
}

// record is what there is to be written down. It holds nothing that a program has sent but names.
func (c *call) record(err error) audit.Record {
	uid := c.who.UID
	r := audit.Record{
		Time: c.began, Operation: c.op.Name, Scope: string(c.op.Scope),
		User: c.who.User, UID: &uid, PID: c.who.PID, Program: c.who.Program, Exe: c.who.App.Exe, Session: c.who.Session,
		FrontEnd: c.who.Via, RPID: c.rpID, Origin: c.site.origin, Purpose: c.purpose,
		Result: audit.ResultOK, TookUS: time.Since(c.began).Microseconds(),
	}
	if c.frontEnd != "" {
		r.FrontEnd = c.frontEnd
	}
	switch a := c.who.App; {
	case a.Flatpak != "" || a.Snap != "":
		r.App = a.ID()
	default:
		r.App = a.Unit
	}
	r.Serial = c.token
	if k := c.taken(); k != nil {
		d := k.Device()
		r.Key, r.Serial, r.Emulated = k.ID(), d.Serial, d.Emulated
		if info := k.Info(); info != nil {
			r.AAGUID = info.AAGUID.String()
		}
	}
	c.mu.Lock()
	v := c.verdict
	c.mu.Unlock()
	r.Policies, r.UserPresent, r.UserVerified = v.rules, v.present, v.verified
	switch {
	case v.effect == policy.Deny:
		r.Decision = audit.DecisionDeny
	case strings.HasPrefix(v.granted, "grant "):
		r.Decision, r.Detail = audit.DecisionGrant, v.granted
	case strings.HasPrefix(v.granted, "consent"):
		r.Decision, r.Detail = audit.DecisionConsent, v.granted
	default:
		r.Decision, r.Detail = audit.DecisionAllow, v.granted
	}
	if c.about != "" {
		r.Detail = strings.TrimPrefix(r.Detail+"; "+c.about, "; ")
	}
	if failure := ErrorOf(err); failure != nil {
		r.Result = string(failure.Code)
	}
	return r
}

// saw notes what authenticator data say of the person (WebAuthn Level 3, section 6.1: the flags).
func (c *call) saw(authData []byte) {
	const at = 32
	if len(authData) <= at {
		return
	}
	flags := ctap2.Flags(authData[at])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verdict.present, c.verdict.verified = flags&ctap2.FlagUP != 0, flags&ctap2.FlagUV != 0
}

// errUnwritten is for what was done and could not be written down.
var errUnwritten = &api.Error{
	Code: api.CodeInternal, Message: "it was done, but the audit log cannot be written",
	Hint: "the daemon's log says why; audit.required in its configuration makes this an error",
}

// auditFiles is the log's folder.
func (c *call) auditFiles() (fs.FS, error) {
	if c.e.cfg.Audit.Files == nil {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: "this daemon keeps no audit log", Hint: "audit.enabled in its configuration turns it on"}
	}
	return c.e.cfg.Audit.Files, nil
}

// maxPage bounds the records of one answer, and defaultPage is how many there are where the request does
// not say.
const maxPage, defaultPage = 1000, 100

// auditList is the operation audit-list.
func (c *call) auditList(ctx context.Context, r *api.AuditListRequest) (*api.AuditListResult, error) {
	files, err := c.auditFiles()
	if err != nil {
		return nil, err
	}
	q := audit.Query{After: r.After, User: r.User, Operation: r.Operation, Key: r.Key, Limit: defaultPage, Last: r.Last}
	if r.Limit > 0 {
		q.Limit = min(r.Limit, maxPage)
	}
	for _, at := range []struct {
		text string
		to   *time.Time
	}{{r.Since, &q.Since}, {r.Until, &q.Until}} {
		if at.text == "" {
			continue
		}
		if *at.to, err = time.Parse(time.RFC3339, at.text); err != nil {
			return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "no time: " + shorten(at.text), Hint: "write it as 2026-11-23T15:04:05Z (RFC 3339)"}
		}
	}
	result := &api.AuditListResult{Records: []api.AuditRecord{}}
	for entry, err := range audit.Read(ctx, files, q) {
		if err != nil {
			result.Damaged = append(result.Damaged, err.Error())
			if len(result.Damaged) >= 10 {
				break
			}
			continue
		}
		result.Records = append(result.Records, apiRecord(entry))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if n := len(result.Records); n == q.Limit && !q.Last {
		result.Next = result.Records[n-1].Seq
	}
	return result, nil
}

func apiRecord(e audit.Entry) api.AuditRecord {
	return api.AuditRecord{
		Seq: e.Seq, Time: e.Time.Format(time.RFC3339Nano), Operation: e.Operation, Scope: e.Scope, User: e.User, UID: e.UID, PID: e.PID,
		Program: e.Program, Exe: e.Exe, App: e.App, Session: e.Session, FrontEnd: e.FrontEnd, Key: e.Key, Serial: e.Serial, AAGUID: e.AAGUID,
		Emulated: e.Emulated, RPID: e.RPID, Origin: e.Origin, Purpose: e.Purpose, Decision: e.Decision, Policies: e.Policies, Result: e.Result,
		UserPresent: e.UserPresent, UserVerified: e.UserVerified, TookUS: e.TookUS, Detail: e.Detail, Prev: e.Prev.String(), Hash: e.Hash.String(),
	}
}

// auditVerify is the operation audit-verify.
func (c *call) auditVerify(ctx context.Context, r *api.AuditVerifyRequest) (*api.AuditVerifyResult, error) {
	files, err := c.auditFiles()
	if err != nil {
		return nil, err
	}
	var heads []audit.Head
	if r.Head != "" {
		head, err := audit.ParseHead(r.Head)
		if err != nil {
			return nil, &api.Error{Code: api.CodeInvalidRequest, Message: err.Error(), Hint: "a head is what audit-verify said before: a number, a colon and a hash"}
		}
		heads = append(heads, head)
	}
	began := time.Now()
	report, err := audit.Verify(ctx, files, heads...)
	if err != nil && report.Fault == nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &api.Error{Code: api.CodeInternal, Message: err.Error(), Hint: "look at the folder of the audit log"}
	}
	result := &api.AuditVerifyResult{
		Whole: report.Fault == nil, Files: report.Files, Lines: report.Lines, FirstSeq: report.FirstSeq, Head: report.Head.String(),
		Dropped: report.Dropped, Torn: report.Torn, Gaps: report.Gaps, TookMS: time.Since(began).Milliseconds(),
	}
	if !report.First.IsZero() {
		result.First, result.Last = report.First.Format(time.RFC3339Nano), report.Last.Format(time.RFC3339Nano)
	}
	if f := report.Fault; f != nil {
		result.Fault = strings.TrimPrefix(f.Error(), "audit: ")
	}
	return result, nil
}
