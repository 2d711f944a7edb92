package hid_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fobd/fobd/hid"
)

// packetConns returns the ends of a Unix connection of packets.
func packetConns(t *testing.T) (here, there net.Conn) {
	t.Helper()
	listener, err := net.Listen("unixpacket", filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Skip(err)
	}
	defer listener.Close()
	if here, err = net.Dial("unixpacket", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return here, there
}

func TestPackets(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		here, there := packetConns(t)
		return pair{device: hid.NewPackets(here, 64, 32), peer: hid.NewPackets(there, 32, 64)}
	})
}

func TestPacketsOfAnotherSizeAreDropped(t *testing.T) {
	here, there := packetConns(t)
	defer there.Close()
	device := hid.NewPackets(here, 64, 64)
	defer device.Close()
	for _, n := range []int{1, 63, 65, 1000} {
		if _, err := there.Write(fill(n, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := there.Write(fill(64, 2)); err != nil {
		t.Fatal(err)
	}
	mustRead(t, device, fill(64, 2))
}

func TestPacketsToNobody(t *testing.T) {
	conn := listenUDP(t)
	address := conn.LocalAddr().String()
	conn.Close()
	dialled, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	device := hid.NewPackets(dialled, 0, 0)
	defer device.Close()
	device.Write(fill(64, 1)) // the refusal comes later
	device.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := device.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Read: %v, want %v", err, hid.ErrGone)
	}
}

func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// udpPeer dials a listener and says hello, so that both ends are there.
func udpPeer(t *testing.T, l *hid.DatagramListener) (here, there hid.Device) {
	t.Helper()
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here = hid.NewPackets(conn, 64, 64)
	t.Cleanup(func() { here.Close() })
	if _, err := here.Write(fill(64, 0x77)); err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	mustRead(t, there, fill(64, 0x77))
	return here, there
}

func TestDatagramPeersAreDevicesOfTheirOwn(t *testing.T) {
	l := hid.NewDatagramListener(listenUDP(t), hid.DatagramConfig{})
	defer l.Close()
	a, keyOfA := udpPeer(t, l)
	b, keyOfB := udpPeer(t, l)
	keyOfA.Write(fill(64, 1))
	keyOfB.Write(fill(64, 2))
	mustRead(t, a, fill(64, 1))
	mustRead(t, b, fill(64, 2))
	a.Write(fill(64, 3))
	mustRead(t, keyOfA, fill(64, 3))
	if _, err := keyOfA.Write(fill(63, 1)); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("Write: %v, want %v", err, hid.ErrReportSize)
	}
	if in, out := keyOfA.ReportSizes(); in != 64 || out != 64 {
		t.Errorf("sizes %d, %d", in, out)
	}
	keyOfA.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := keyOfA.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
	}
	// One that was closed is a new device at its next report.
	keyOfA.Close()
	if _, err := keyOfA.Write(fill(64, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v, want %v", err, os.ErrClosed)
	}
	a.Write(fill(64, 4))
	again, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	mustRead(t, again, fill(64, 4))
}

func TestDatagramPeersAreBounded(t *testing.T) {
	l := hid.NewDatagramListener(listenUDP(t), hid.DatagramConfig{MaxPeers: 2})
	_, first := udpPeer(t, l)
	_, second := udpPeer(t, l)
	udpPeer(t, l)
	if _, err := first.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("the peer that was silent for longest: %v, want %v", err, hid.ErrGone)
	}
	if _, err := first.Write(fill(64, 1)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Write: %v, want %v", err, hid.ErrGone)
	}
	if _, err := second.Write(fill(64, 1)); err != nil {
		t.Errorf("the other one: %v", err)
	}
	l.Close()
	if _, err := second.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("after Close: %v, want %v", err, hid.ErrGone)
	}
	if _, err := l.Accept(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Accept: %v, want %v", err, os.ErrClosed)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestDatagramPeerThatIsSilentIsForgotten(t *testing.T) {
	l := hid.NewDatagramListener(listenUDP(t), hid.DatagramConfig{Idle: 20 * time.Millisecond})
	defer l.Close()
	_, key := udpPeer(t, l)
	if _, err := key.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Read: %v, want %v", err, hid.ErrGone)
	}
}

// Strangers who send rubbish, or more than anyone accepts, disturb nobody.
func TestDatagramStrangers(t *testing.T) {
	l := hid.NewDatagramListener(listenUDP(t), hid.DatagramConfig{MaxPeers: 4})
	defer l.Close()
	for range 20 {
		conn, err := net.Dial("udp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(fill(1, 0))
		conn.Write(fill(65, 0))
		conn.Write(fill(64, 0))
		conn.Close() // answers are refused
	}
	go func() { // every device gives back what it gets
		for {
			key, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				report := make([]byte, 64)
				for {
					if _, err := key.Read(report); err != nil {
						return
					}
					key.Write(report)
				}
			}()
		}
	}()
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here := hid.NewPackets(conn, 64, 64)
	defer here.Close()
	for range 100 { // a datagram may be lost while nobody has accepted the strangers
		mustWrite(t, here, fill(64, 5))
		here.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := here.Read(make([]byte, 64)); err == nil {
			return
		}
	}
	t.Error("the listener serves nobody any more")
}
