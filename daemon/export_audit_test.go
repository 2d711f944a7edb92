package daemon

import "github.com/fobd/fobd/daemon/audit"

// AuditOf gives an engine's audit log.
func AuditOf(e *Engine) *audit.Log { return e.cfg.Audit.Log }
