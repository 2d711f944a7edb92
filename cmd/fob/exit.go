package main

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"

	"github.com/fobd/fobd/daemon/api"
)

// The exit statuses of fob.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitDenied    = 3
	exitNoKey     = 4
	exitCancelled = 5
)

// exits gives the exit status for each code of the daemon.
var exits = map[api.Code]int{
	api.CodeInvalidRequest:     exitUsage,
	api.CodeUnknownOperation:   exitFailed,
	api.CodeTooLarge:           exitUsage,
	api.CodeTooMany:            exitCancelled,
	api.CodeDenied:             exitDenied,
	api.CodeNotFound:           exitFailed,
	api.CodeConflict:           exitFailed,
	api.CodeNoKey:              exitNoKey,
	api.CodeKeyGone:            exitNoKey,
	api.CodeKeySilent:          exitFailed,
	api.CodeKeyError:           exitFailed,
	api.CodeBusy:               exitCancelled,
	api.CodeCancelled:          exitCancelled,
	api.CodeTimeout:            exitCancelled,
	api.CodePINRequired:        exitFailed,
	api.CodePINInvalid:         exitFailed,
	api.CodePINBlocked:         exitFailed,
	api.CodePINAuthBlocked:     exitFailed,
	api.CodePINNotSet:          exitFailed,
	api.CodePINAlreadySet:      exitFailed,
	api.CodePINPolicy:          exitFailed,
	api.CodePINLastRetry:       exitFailed,
	api.CodeUVInvalid:          exitFailed,
	api.CodeUVBlocked:          exitFailed,
	api.CodeNoCredentials:      exitFailed,
	api.CodeCredentialExcluded: exitFailed,
	api.CodeUnsupported:        exitFailed,
	api.CodeKeyFull:            exitFailed,
	api.CodeFingerprintsFull:   exitFailed,
	api.CodeBlobsFull:          exitFailed,
	api.CodeVerifyFailed:       exitFailed,
	api.CodeResetTooLate:       exitFailed,
	api.CodeShuttingDown:       exitFailed,
	api.CodeInternal:           exitFailed,
}

// exitOf gives the exit status for an error.
func exitOf(err error) int {
	var usage *usageError
	var answer *api.Error
	var child *exec.ExitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &child) && child.ExitCode() > 0:
		return child.ExitCode()
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &answer):
		if status, known := exits[answer.Code]; known {
			return status
		}
		return exitFailed // a code that is newer than this program
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return exitCancelled
	case errors.Is(err, fs.ErrPermission):
		return exitDenied
	}
	return exitFailed
}
