package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// places are the values of listen= (or another word) in a ready line.
func places(ready, word string) (list []string) {
	for field := range strings.FieldsSeq(ready) {
		if at, ok := strings.CutPrefix(field, word+"="); ok {
			list = append(list, at)
		}
	}
	return list
}

// dialPlace connects to a place of the ready line.
func dialPlace(t *testing.T, place string) hid.Device {
	t.Helper()
	kind, at, ok := strings.Cut(place, ":")
	if !ok {
		kind, at = "unix", place
	}
	conn, err := net.Dial(kind, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if kind == "udp" || kind == "unixpacket" {
		return hid.NewPackets(conn, 0, 0)
	}
	return hid.NewStream(conn, 0, 0)
}

func TestEveryKindOfSocketAtOnce(t *testing.T) {
	dir := shortDir(t)
	r := startAt(t, false, filepath.Join(dir, "bare"), "unix:"+filepath.Join(dir, "u"), "unixpacket:"+filepath.Join(dir, "p"),
		"tcp:127.0.0.1:0", "udp:127.0.0.1:0", "tcp:[::1]:0")
	at := places(r.ready, "listen")
	if len(at) != 6 || strings.Contains(r.ready, ":0 ") {
		t.Fatalf("ready line %q, want six places with the ports that were chosen", r.ready)
	}
	check := func() {
		t.Helper()
		var all sync.WaitGroup
		for _, place := range at {
			d := dialPlace(t, place)
			all.Go(func() {
				c, err := ctaphid.Open(t.Context(), d)
				if err != nil {
					t.Errorf("%s: %v", place, err)
					return
				}
				if got, err := c.CBOR(t.Context(), []byte{1, 2}, nil); err != nil || !bytes.Equal(got, []byte{1, 2}) {
					t.Errorf("%s: CBOR = %x, %v", place, got, err)
				}
			})
		}
		all.Wait()
	}
	check()
	if got := r.say(t, "power off", "power on"); got != "ok\nok\n" {
		t.Fatalf("power off and on: %q", got)
	}
	check() // the ports are the same
}

func TestListenOnLoopbackOnly(t *testing.T) {
	for _, text := range []string{
		"tcp:0.0.0.0:0", "udp:0.0.0.0:0", "tcp:[::]:1", "tcp:192.0.2.7:80", "udp:10.0.0.1:1", "tcp:localhost:1", "tcp::0", "tcp:127.0.0.1",
		"udp:", "unix:", "unixpacket:", "", "tcp:[::ffff:1.2.3.4]:0",
	} {
		if a, err := parseAddress(text); err == nil {
			t.Errorf("parseAddress(%q) = %+v, want an error", text, a)
		}
	}
	for text, kind := range map[string]string{
		"key": "unix", "unix:key": "unix", "unixpacket:/run/key": "unixpacket", "tcp:127.1.2.3:0": "tcp",
		"udp:[::1]:99": "udp", "./tcp:x": "unix", "/a:b": "unix", "other:x": "unix",
	} {
		if a, err := parseAddress(text); err != nil || a.kind != kind || a.text != text {
			t.Errorf("parseAddress(%q) = %+v, %v, want kind %s", text, a, err, kind)
		}
	}
	for _, text := range []string{"udp:127.0.0.1:0", "unixpacket:x", "0.0.0.0:3240", "tcp:8.8.8.8:1"} {
		if a, err := parseUSBIPAddress(text); err == nil {
			t.Errorf("parseUSBIPAddress(%q) = %+v, want an error", text, a)
		}
	}
	for text, kind := range map[string]string{"127.0.0.1:3240": "tcp", "[::1]:0": "tcp", "tcp:127.0.0.1:1": "tcp", "/run/usbip": "unix", "unix:x": "unix"} {
		if a, err := parseUSBIPAddress(text); err != nil || a.kind != kind {
			t.Errorf("parseUSBIPAddress(%q) = %+v, %v, want kind %s", text, a, err, kind)
		}
	}
}

// Peers that send halves, rubbish or nothing disturb nobody.
func TestHostilePeers(t *testing.T) {
	dir := shortDir(t)
	r := startAt(t, false, "unix:"+filepath.Join(dir, "u"), "unixpacket:"+filepath.Join(dir, "p"), "tcp:127.0.0.1:0", "udp:127.0.0.1:0")
	for _, place := range places(r.ready, "listen") {
		kind, at, _ := strings.Cut(place, ":")
		var peers sync.WaitGroup
		for i := range 50 {
			peers.Go(func() {
				conn, err := net.Dial(kind, at)
				if err != nil {
					t.Errorf("%s: %v", place, err)
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				for _, n := range []int{1, 63, 64, 65, 200} {
					_, _ = conn.Write(bytes.Repeat([]byte{byte(i*n) | 0x80}, n))
				}
			})
		}
		peers.Wait()
		d := dialPlace(t, place)
		// A datagram may be lost while the kernel's queue is full of theirs.
		for attempt := 0; ; attempt++ {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			c, err := ctaphid.Open(ctx, d)
			cancel()
			if err == nil {
				echo(t, c)
				break
			}
			if attempt == 20 {
				t.Fatalf("%s: %v", place, err)
			}
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	r := start(t, false)
	var all []net.Conn
	for range maxConnections + 20 {
		conn, err := net.Dial("unix", r.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		all = append(all, conn)
	}
	refused := 0
	for _, conn := range all[maxConnections:] {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			refused++
		}
	}
	if refused != 20 {
		t.Errorf("%d of 20 connections beyond the limit are hung up on", refused)
	}
	if got, want := r.say(t, "status"), "ok power=on connections=256 presence=scripted\n"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	for _, conn := range all {
		_ = conn.Close()
	}
	for !strings.Contains(r.say(t, "status"), "connections=0 ") {
		time.Sleep(time.Millisecond)
	}
	echo(t, open(t, dial(t, r.listen)))
}

// The protocol itself is tested in hid/usbip; here, that hosts find the key.
func TestUSBIPListen(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", filepath.Join(shortDir(t), "usbip")} {
		ready := wholeLine(t, shortDir(t), "--usbip-listen", at)
		list := places(ready, "usbip-listen")
		if len(list) != 1 {
			t.Fatalf("ready line %q", ready)
		}
		kind, where := "unix", list[0]
		if k, w, ok := strings.Cut(list[0], ":"); ok {
			kind, where = k, w
		}
		conn, err := net.Dial(kind, where)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte{1, 0x11, 0x80, 5, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 12)
		if _, err := conn.Read(answer); err != nil || !bytes.Equal(answer, []byte{1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1}) {
			t.Errorf("the list of devices begins with %x, %v", answer, err)
		}
	}
}
