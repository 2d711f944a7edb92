//go:build !linux

package daemon

import (
	"errors"
	"net"
	"os"
)

// packetPair is there on Linux only.
func packetPair() (net.Conn, *os.File, error) { return nil, nil, errors.ErrUnsupported }
