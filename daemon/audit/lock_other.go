//go:build !unix

package audit

import (
	"errors"
	"os"
)

// flock refuses: without a lock, two daemons could write two chains into one file.
func flock(*os.File) error { return errors.ErrUnsupported }

func syncFolder(*os.File) error { return nil }
