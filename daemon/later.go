package daemon

import "github.com/fobd/fobd/daemon/api"

var errLater = &api.Error{Code: api.CodeUnsupported, Message: "not written yet"}
