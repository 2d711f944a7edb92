package daemon

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// packetPair makes two sockets that are connected and keep packets apart: one for the daemon, one for a
// program.
func packetPair() (ours net.Conn, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	file := os.NewFile(uintptr(pair[0]), "lease")
	defer func() { _ = file.Close() }() // FileConn has its own
	theirs = os.NewFile(uintptr(pair[1]), "lease")
	if ours, err = net.FileConn(file); err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}
