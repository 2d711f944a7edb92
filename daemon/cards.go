package daemon

import (
	"errors"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/pcsc"
)

// cardCode says what an error of pcscd means to a caller.
func cardCode(err error) (api.Code, bool) {
	var status pcsc.Error
	switch {
	case errors.Is(err, pcsc.ErrSilent), errors.Is(err, pcsc.ErrClosed):
		return api.CodeKeySilent, true
	case errors.Is(err, pcsc.ErrMalformed), errors.Is(err, pcsc.ErrVersion), errors.Is(err, pcsc.ErrTooLong):
		return api.CodeKeyError, true
	case !errors.As(err, &status):
		return "", false
	}
	switch status {
	case pcsc.ErrSharing:
		return api.CodeBusy, true
	case pcsc.ErrRemoved, pcsc.ErrReaderGone, pcsc.ErrNoCard, pcsc.ErrNoReader:
		return api.CodeKeyGone, true
	case pcsc.ErrNoService, pcsc.ErrDenied, pcsc.ErrUnsupported, pcsc.ErrCardUnsupported:
		return api.CodeUnsupported, true
	case pcsc.ErrStopped, pcsc.ErrTimeout, pcsc.ErrUnresponsive:
		return api.CodeKeySilent, true
	}
	return api.CodeKeyError, true
}
