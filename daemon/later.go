package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/api"
)

var errLater = &api.Error{Code: api.CodeUnsupported, Message: "not written yet"}

func (c *call) emulateClock(context.Context, *api.EmulateClockRequest) (*api.EmulateResult, error) {
	return nil, errLater
}

func (c *call) emulateClone(context.Context, *api.EmulateCloneRequest) (*api.EmulateResult, error) {
	return nil, errLater
}

func (c *call) emulateExport(context.Context, *api.EmulateNameRequest) (*api.EmulateExportResult, error) {
	return nil, errLater
}

func (c *call) emulateFault(context.Context, *api.EmulateFaultRequest) (*api.EmulateResult, error) {
	return nil, errLater
}

func (c *call) emulateImport(context.Context, *api.EmulateImportRequest) (*api.EmulateResult, error) {
	return nil, errLater
}

func (c *call) emulateObserve(context.Context, *api.EmulateObserveRequest) (*api.EmulateObserveResult, error) {
	return nil, errLater
}

func (c *call) emulateRestore(context.Context, *api.EmulateRestoreRequest) (*api.EmulateResult, error) {
	return nil, errLater
}

func (c *call) emulateSnapshot(context.Context, *api.EmulateNameRequest) (*api.EmulateSnapshotResult, error) {
	return nil, errLater
}
