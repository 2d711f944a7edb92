package pcsc

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := &Client{Socket: path}
	if users, err := c.Users(); err != nil || len(users) != 0 {
		t.Fatalf("nobody is connected: %q, %v", users, err)
	}
	var want []string
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		f, err := conn.(*net.UnixConn).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, link)
	}
	// Somebody else's socket is not ours.
	other, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stranger, err := net.Dial("unix", other.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	users, err := c.Users()
	slices.Sort(users)
	slices.Sort(want)
	if err != nil || !slices.Equal(users, want) {
		t.Errorf("got %q, %v, want %q", users, err, want)
	}
	if _, err := (&Client{Socket: path + "x"}).Users(); err == nil {
		t.Error("a socket that is not there has users")
	}
}

func FuzzPeerOf(f *testing.F) {
	e := binary.NativeEndian
	b := make([]byte, diagAnswerSize)
	b = e.AppendUint16(e.AppendUint16(b, 12), attributeVFS)
	b = e.AppendUint32(e.AppendUint32(b, 7), 1<<deviceMinorBits|2)
	b = e.AppendUint16(e.AppendUint16(b, 8), attributePeer)
	b = e.AppendUint32(b, 4711)
	dev := unix.Mkdev(1, 2)
	if peer, ok := peerOf(b, dev, 7); !ok || peer != 4711 {
		f.Fatalf("got %d, %t", peer, ok)
	}
	for _, not := range []syscall.Stat_t{{Dev: dev, Ino: 8}, {Dev: unix.Mkdev(2, 2), Ino: 7}, {Dev: unix.Mkdev(1, 3), Ino: 7}} {
		if _, ok := peerOf(b, not.Dev, not.Ino); ok {
			f.Fatalf("%d, %d is another file", not.Dev, not.Ino)
		}
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) { peerOf(b, dev, 7) })
}
