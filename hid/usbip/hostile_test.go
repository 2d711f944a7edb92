package usbip_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/fobd/fobd/hid/usbip"
)

// session is the bytes of a host that does everything in order.
func wholeSession() []byte {
	var b []byte
	b = append(b, operation(0x8005)...)
	b = append(append(b, operation(0x8003)...), busID(usbip.BusID)...)
	b = append(b, submit(1, 1, 0, 18, []byte{0x80, 6, 0, 1, 0, 0, 18, 0})...)
	b = append(b, submit(2, 1, 0, 255, []byte{0x80, 6, 0, 2, 0, 0, 255, 0})...)
	b = append(b, submit(3, 0, 0, 0, []byte{0, 9, 1, 0, 0, 0, 0, 0})...)
	b = append(b, submit(4, 1, 0, 255, []byte{0x81, 6, 0, 0x22, 0, 0, 255, 0})...)
	b = append(b, submit(5, 1, 1, 64, nil)...)
	b = append(append(b, submit(6, 0, 1, 64, nil)...), make([]byte, 64)...)
	b = append(append(b, submit(7, 0, 0, 64, []byte{0x21, 9, 0, 2, 0, 0, 64, 0})...), make([]byte, 64)...)
	return append(b, command(2, 8, 0, 0, 5)...)
}

func hostile() map[string][]byte {
	imported := append(operation(0x8003), busID(usbip.BusID)...)
	after := func(b []byte) []byte { return append(bytes.Clone(imported), b...) }
	huge := submit(1, 0, 1, 0, nil)
	binary.BigEndian.PutUint32(huge[24:], 0xFFFFFFFF)
	long := submit(1, 1, 1, usbip.MaxTransfer+1, nil)
	packets := submit(1, 1, 1, 64, nil)
	binary.BigEndian.PutUint32(packets[32:], 8)
	twice := append(submit(1, 0, 0, 0, []byte{0, 9, 1, 0, 0, 0, 0, 0}), submit(2, 1, 1, 64, nil)...)
	return map[string][]byte{
		"nothing":               {},
		"a cut header":          {1},
		"another version":       {1, 6, 0x80, 5, 0, 0, 0, 0},
		"an unknown operation":  operation(0x8004),
		"a cut import":          append(operation(0x8003), 'x'),
		"a bus id without end":  append(operation(0x8003), bytes.Repeat([]byte{'1'}, 32)...),
		"an unknown command":    after(command(9, 1, 0, 0)),
		"a command of replies":  after(command(3, 1, 0, 0)),
		"a bad direction":       after(submit(1, 2, 1, 0, nil)),
		"a negative length":     after(huge),
		"a length too long":     after(long),
		"isochronous packets":   after(packets),
		"data that is cut":      after(append(submit(1, 0, 1, 64, nil), 1, 2, 3)),
		"a sequence number two": after(append(twice, submit(2, 1, 1, 64, nil)...)),
		"text":                  []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"a whole session":       wholeSession(),
	}
}

// Whatever a host sends, the device is there for the next one.
func TestHostileHosts(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	for name, input := range hostile() {
		t.Run(name, func(t *testing.T) {
			talk(t, key, input)
			h := newHost(t, connect(t, key))
			h.attach()
			h.configure()
			_ = h.conn.Close()
			claimable(t, key)
		})
	}
}

// claimable waits until no host has the key.
func claimable(t *testing.T, key *usbip.Device) {
	t.Helper()
	for {
		h := newHost(t, connect(t, key))
		_, status := h.operation(0x8003, busID(usbip.BusID))
		_ = h.conn.Close()
		if status == 0 {
			return
		}
	}
}

// talk sends bytes to the key while it is served, and returns what came back.
func talk(t *testing.T, key *usbip.Device, input []byte) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		_ = key.ServeConn(t.Context(), theirs)
		close(ended)
	}()
	var output []byte
	read := make(chan struct{})
	go func() {
		output, _ = io.ReadAll(ours)
		close(read)
	}()
	_ = ours.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, _ = ours.Write(input) // fails when the key hangs up
	_ = ours.Close()
	<-ended
	<-read
	return output
}

// A host that does not read its answers stops being read.
func TestHostThatDoesNotReadItsAnswers(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- key.ServeConn(t.Context(), theirs) }()
	h := newHost(t, ours)
	h.attach()
	request := submit(1, 1, 0, 255, []byte{0x80, 6, 0, 2, 0, 0, 255, 0})
	sent := 0
	for {
		_ = ours.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := ours.Write(request)
		if sent += n; err != nil {
			break
		}
	}
	// An answer is longer than a request, so the limit on answers bounds what was taken.
	if sent > 1<<18 {
		t.Errorf("%d bytes were taken from a host that reads nothing", sent)
	}
	_ = ours.Close()
	if err := <-ended; err != nil {
		t.Logf("ended with %v", err)
	}
}

func FuzzServe(f *testing.F) {
	for _, input := range hostile() {
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 1<<17 {
			return
		}
		key := newDevice(t, usbip.Config{})
		served := make(chan struct{})
		go func() {
			defer close(served)
			report := make([]byte, 64)
			for {
				if _, err := key.Read(report); err != nil {
					return
				}
				if _, err := key.Write(report); err != nil {
					return
				}
			}
		}()
		output := talk(t, key, input)
		check(t, input, output)
		_ = key.Close()
		<-served
	})
}

// check reads input and output after the protocol's documentation: each answer is to a command
// of the host, and none is answered twice.
func check(t *testing.T, input, output []byte) {
	t.Helper()
	word := func(b []byte, i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	// Operations: each answer is as long as its code says.
	imported := false
	for !imported && len(input) >= 8 && len(output) >= 8 {
		code, status := binary.BigEndian.Uint16(output[2:]), word(output, 1)
		size, asked := 8, 8
		switch {
		case code == 5:
			size = 8 + 4 + 312 + 4
		case code == 3 && status == 0:
			size, asked, imported = 8+312, 8+32, true
		case code == 3:
			asked = 8 + 32
		default:
			t.Fatalf("operation %#x in the answer", code)
		}
		if len(output) < size || len(input) < asked {
			return // it was cut when the host hung up
		}
		input, output = input[asked:], output[size:]
	}
	open := map[uint32][]bool{} // by sequence number: directions of the transfers
	unlinks := map[uint32]int{}
	for len(input) >= 48 {
		code, sequence := word(input, 0), word(input, 1)
		size := 48
		switch code {
		case 1:
			if in := word(input, 3) == 1; in {
				open[sequence] = append(open[sequence], true)
			} else {
				open[sequence] = append(open[sequence], false)
				size += int(min(word(input, 6), 1<<20))
			}
		case 2:
			unlinks[sequence]++
		}
		if len(input) < size {
			break
		}
		input = input[size:]
	}
	for len(output) >= 48 {
		code, sequence := word(output, 0), word(output, 1)
		size := 48
		switch code {
		case 3:
			directions := open[sequence]
			if len(directions) == 0 {
				t.Fatalf("an answer to sequence number %d, which nobody sent, or a second one", sequence)
			}
			open[sequence] = directions[1:]
			if len(directions) > 1 {
				return // the order of equal numbers is the host's own riddle
			}
			if directions[0] {
				size += int(word(output, 6))
			}
		case 4:
			if unlinks[sequence]--; unlinks[sequence] < 0 {
				t.Fatalf("an answer to an unlink %d, which nobody sent", sequence)
			}
		default:
			t.Fatalf("an answer of command %d", code)
		}
		if len(output) < size {
			return
		}
		output = output[size:]
	}
}
