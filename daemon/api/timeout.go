package api

import "time"

func milliseconds(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }

// Timeout is TimeoutMS as a duration.
func (r KeyRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r TouchRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r RegisterRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AssertRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r PINChangeRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ResetRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r CredentialListRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r CredentialRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r CredentialRenameRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r FingerprintListRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r FingerprintAddRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r FingerprintRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r FingerprintRenameRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r BlobListRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r BlobRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r BlobSetRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r BlobCollectRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ConfigRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ConfigIdentifyRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ConfigEnterpriseRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ConfigAlwaysUVRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ConfigMinPINRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ConfigLongTouchRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ConfigVendorRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r EmulateObserveRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS.
func (r UserEnrollRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS.
func (r UserVerifyRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r CodeRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AccountListRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AccountAddRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AccountRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AccountRenameRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AccountProtectRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AccountResetRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r SlotShowRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r SlotRespondRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r SlotCodeRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r SlotSetRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r SlotSwapRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r SlotDeleteRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }
