package pcsc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The messages of sock_diag(7) for Unix sockets (linux/unix_diag.h), which x/sys/unix does not have. All are in the machine's byte order.
const (
	sockDiagByFamily = 20
	diagRequestSize  = 24
	diagAnswerSize   = 16
	diagEstablished  = 1 << 1
	// What to show, and the attributes that it comes in.
	showVFS, showPeer       = 1 << 1, 1 << 2
	attributeVFS            = 1
	attributePeer           = 2
	attributeHeader         = 4
	diagBuffer              = 64 << 10
	diagTimeout             = time.Second
	deviceMinorBits, minors = 20, 1<<20 - 1 // of a device number inside the kernel
)

// Users are the ends of programs' connections to pcscd, as /proc/PID/fd shows them ("socket:[4711]"): whoever has one open uses cards, or has
// done so. Those of this program are among them. Only connections of our network namespace show, and nothing does on a kernel
// without unix_diag.
func (c *Client) Users() ([]string, error) {
	users, err := c.users()
	if err != nil {
		return nil, fmt.Errorf("pcsc: who is connected to pcscd: %w", err)
	}
	return users, nil
}

func (c *Client) users() ([]string, error) {
	info, err := os.Stat(c.socket())
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(diagTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, err
	}
	if err := unix.Sendto(fd, diagRequest(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var users []string
	buf := make([]byte, diagBuffer)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return users, nil
			case unix.NLMSG_ERROR:
				return nil, diagError(m.Data)
			case sockDiagByFamily:
				if peer, ok := peerOf(m.Data, stat.Dev, stat.Ino); ok {
					users = append(users, "socket:["+strconv.FormatUint(uint64(peer), 10)+"]")
				}
			}
		}
	}
}

// diagRequest asks for all connected Unix sockets, each with the file that it is bound to and its other end.
func diagRequest() []byte {
	e := binary.NativeEndian
	b := e.AppendUint32(nil, unix.NLMSG_HDRLEN+diagRequestSize)
	b = e.AppendUint16(b, sockDiagByFamily)
	b = e.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = e.AppendUint32(b, 1) // sequence number
	b = e.AppendUint32(b, 0) // port
	b = append(b, unix.AF_UNIX, 0, 0, 0)
	b = e.AppendUint32(b, diagEstablished)
	b = e.AppendUint32(b, 0) // inode: all
	b = e.AppendUint32(b, showVFS|showPeer)
	return append(b, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF) // cookie: none
}

func diagError(b []byte) error {
	if len(b) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(b)))
}

// peerOf is the inode of a socket's other end, if the socket is bound to the file.
func peerOf(b []byte, dev, ino uint64) (peer uint32, ok bool) {
	e := binary.NativeEndian
	if len(b) < diagAnswerSize {
		return 0, false
	}
	bound := false
	for b = b[diagAnswerSize:]; len(b) >= attributeHeader; {
		n := int(e.Uint16(b))
		if n < attributeHeader || n > len(b) {
			return 0, false
		}
		v := b[attributeHeader:n]
		switch kind := e.Uint16(b[2:]); {
		case kind == attributeVFS && len(v) >= 8:
			device := e.Uint32(v[4:])
			bound = e.Uint32(v) == uint32(ino) && device>>deviceMinorBits == unix.Major(dev) && device&minors == unix.Minor(dev)
		case kind == attributePeer && len(v) >= 4:
			peer, ok = e.Uint32(v), true
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return peer, ok && bound
}
