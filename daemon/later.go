package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/api"
)

var errLater = &api.Error{Code: api.CodeUnsupported, Message: "not written yet"}

func (c *call) blobCollect(context.Context, *api.BlobCollectRequest) (*api.BlobCollectResult, error) {
	return nil, errLater
}

func (c *call) blobDelete(context.Context, *api.BlobRequest) (*api.BlobResult, error) {
	return nil, errLater
}

func (c *call) blobGet(context.Context, *api.BlobRequest) (*api.BlobResult, error) {
	return nil, errLater
}

func (c *call) blobList(context.Context, *api.BlobListRequest) (*api.BlobListResult, error) {
	return nil, errLater
}

func (c *call) blobSet(context.Context, *api.BlobSetRequest) (*api.BlobResult, error) {
	return nil, errLater
}

func (c *call) configAlwaysUV(context.Context, *api.ConfigAlwaysUVRequest) (*api.ConfigResult, error) {
	return nil, errLater
}

func (c *call) configEnterprise(context.Context, *api.ConfigEnterpriseRequest) (*api.ConfigResult, error) {
	return nil, errLater
}

func (c *call) configIdentify(context.Context, *api.ConfigIdentifyRequest) (*api.ConfigResult, error) {
	return nil, errLater
}

func (c *call) configLongTouch(context.Context, *api.ConfigLongTouchRequest) (*api.ConfigResult, error) {
	return nil, errLater
}

func (c *call) configMinPIN(context.Context, *api.ConfigMinPINRequest) (*api.ConfigResult, error) {
	return nil, errLater
}

func (c *call) configShow(context.Context, *api.ConfigRequest) (*api.ConfigResult, error) {
	return nil, errLater
}

func (c *call) configVendor(context.Context, *api.ConfigVendorRequest) (*api.ConfigResult, error) {
	return nil, errLater
}

func (c *call) credentialDelete(context.Context, *api.CredentialRequest) (*api.CredentialResult, error) {
	return nil, errLater
}

func (c *call) credentialList(context.Context, *api.CredentialListRequest) (*api.CredentialListResult, error) {
	return nil, errLater
}

func (c *call) credentialRename(context.Context, *api.CredentialRenameRequest) (*api.CredentialResult, error) {
	return nil, errLater
}

func (c *call) credentialShow(context.Context, *api.CredentialRequest) (*api.CredentialResult, error) {
	return nil, errLater
}

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

func (c *call) emulateFinger(context.Context, *api.EmulateFingerRequest) (*api.EmulateResult, error) {
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

func (c *call) fingerprintAdd(context.Context, *api.FingerprintAddRequest) (*api.FingerprintResult, error) {
	return nil, errLater
}

func (c *call) fingerprintDelete(context.Context, *api.FingerprintRequest) (*api.FingerprintResult, error) {
	return nil, errLater
}

func (c *call) fingerprintList(context.Context, *api.FingerprintListRequest) (*api.FingerprintListResult, error) {
	return nil, errLater
}

func (c *call) fingerprintRename(context.Context, *api.FingerprintRenameRequest) (*api.FingerprintResult, error) {
	return nil, errLater
}
