package vpcd

import (
	"net"
	"syscall"
)

// quickACK has the kernel acknowledge what comes next at once (tcp(7), TCP_QUICKACK). That
// it cannot is no failure: only slow.
func quickACK(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}
