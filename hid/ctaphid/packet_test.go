package ctaphid_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/fobd/fobd/hid/ctaphid"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func TestMaxMessage(t *testing.T) {
	for size, want := range map[int]int{64: 7609, 32: 3481, 8: 385, 7: 0, 65: 0, 0: 0, -1: 0} {
		if got := ctaphid.MaxMessage(size); got != want {
			t.Errorf("MaxMessage(%d): got %d, want %d", size, got, want)
		}
	}
}

func TestFramerBytes(t *testing.T) {
	f, err := ctaphid.NewFramer(8, 0x01020304, ctaphid.CmdPing, []byte{0xA1, 0xA2, 0xA3})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	report := bytes.Repeat([]byte{0xEE}, 8)
	for f.Next(report) {
		got = append(got, hex.EncodeToString(report))
	}
	if want := "[01020304810003a1 0102030400a2a300]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestFrameAndReassemble(t *testing.T) {
	for size := ctaphid.MinReportSize; size <= ctaphid.MaxReportSize; size++ {
		limit := ctaphid.MaxMessage(size)
		for _, n := range []int{0, 1, size - 7, size - 6, 2*size - 12, limit - 1, limit} {
			payload := pattern(n)
			f, err := ctaphid.NewFramer(size, 7, ctaphid.CmdCBOR, payload)
			if err != nil {
				t.Fatal(err)
			}
			r, err := ctaphid.NewReassembler(size)
			if err != nil {
				t.Fatal(err)
			}
			report, done := make([]byte, size), false
			for f.Next(report) {
				if done {
					t.Fatalf("size %d, %d bytes: packets after the end", size, n)
				}
				p, _ := ctaphid.ParsePacket(report)
				if done, err = r.Add(p); err != nil {
					t.Fatalf("size %d, %d bytes: %v", size, n, err)
				}
			}
			if !done || r.CID() != 7 || r.Command() != ctaphid.CmdCBOR || !bytes.Equal(r.Payload(), payload) {
				t.Fatalf("size %d, %d bytes: got %v %v, %d bytes", size, n, done, r.Command(), len(r.Payload()))
			}
		}
		if _, err := ctaphid.NewFramer(size, 7, ctaphid.CmdCBOR, make([]byte, limit+1)); !errors.Is(err, ctaphid.ErrTooLong) {
			t.Errorf("size %d, %d bytes: got %v, want ErrTooLong", size, limit+1, err)
		}
	}
	for _, size := range []int{0, 7, 65} {
		if _, err := ctaphid.NewFramer(size, 7, ctaphid.CmdCBOR, nil); !errors.Is(err, ctaphid.ErrReportSize) {
			t.Errorf("NewFramer(%d): got %v, want ErrReportSize", size, err)
		}
		if _, err := ctaphid.NewReassembler(size); !errors.Is(err, ctaphid.ErrReportSize) {
			t.Errorf("NewReassembler(%d): got %v, want ErrReportSize", size, err)
		}
	}
}

func TestReassemblerRefuses(t *testing.T) {
	first := ctaphid.Packet{CID: 1, Init: true, Command: ctaphid.CmdPing, Length: 200, Data: make([]byte, 57)}
	for name, c := range map[string]struct {
		packets []ctaphid.Packet
		want    ctaphid.Error
	}{
		"too long":                {[]ctaphid.Packet{{CID: 1, Init: true, Length: 7610, Data: make([]byte, 57)}}, ctaphid.ErrInvalidLen},
		"stray continuation":      {[]ctaphid.Packet{{CID: 1}}, ctaphid.ErrInvalidSeq},
		"skipped sequence number": {[]ctaphid.Packet{first, {CID: 1, Seq: 1, Data: make([]byte, 59)}}, ctaphid.ErrInvalidSeq},
		"init within a message":   {[]ctaphid.Packet{first, first}, ctaphid.ErrInvalidSeq},
		"foreign channel":         {[]ctaphid.Packet{first, {CID: 2}}, ctaphid.ErrInvalidChannel},
	} {
		r, err := ctaphid.NewReassembler(64)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range c.packets {
			done, err := r.Add(p)
			if last := i == len(c.packets)-1; last && !errors.Is(err, c.want) || !last && err != nil || done {
				t.Errorf("%s, packet %d: got %v, %v, want %v at the end", name, i, done, err, c.want)
			}
		}
		if r.Active() {
			t.Errorf("%s: still active", name)
		}
	}
}

func TestFramingDoesNotAllocate(t *testing.T) {
	payload, report := pattern(7609), make([]byte, 64)
	r, err := ctaphid.NewReassembler(64)
	if err != nil {
		t.Fatal(err)
	}
	run := func() {
		f, err := ctaphid.NewFramer(64, 1, ctaphid.CmdPing, payload)
		if err != nil {
			t.Fatal(err)
		}
		for f.Next(report) {
			p, _ := ctaphid.ParsePacket(report)
			if _, err := r.Add(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("got %v allocations per message, want 0", n)
	}
}

// TestCaptures reads INIT responses of real keys.
func TestCaptures(t *testing.T) {
	b, err := os.ReadFile("/work/shared/vectors/captures/ctaphid-wire.json")
	if err != nil {
		t.Skip("no captures of real keys on this machine")
	}
	var file struct {
		Messages []struct {
			Name     string
			Messages []struct{ Cmd, Hex string }
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, capture := range file.Messages {
		for _, m := range capture.Messages {
			if m.Cmd != "86" {
				continue
			}
			payload, err := hex.DecodeString(m.Hex)
			if err != nil {
				t.Fatal(err)
			}
			var r ctaphid.InitResponse
			if err := r.UnmarshalBinary(payload); err != nil {
				t.Fatalf("%s: %v", capture.Name, err)
			}
			again, _ := r.AppendBinary(nil)
			if !bytes.Equal(again, payload) || r.ProtocolVersion != 2 || !r.Capabilities.Has(ctaphid.CapCBOR) {
				t.Errorf("%s: got %+v, %x, want %x", capture.Name, r, again, payload)
			}
			seen++
		}
	}
	if seen == 0 {
		t.Error("no INIT response among the captures")
	}
}

func TestInitResponseRefuses(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 16), make([]byte, 17), bytes.Repeat([]byte{0xFF}, 17)} {
		var r ctaphid.InitResponse
		if err := r.UnmarshalBinary(b); !errors.Is(err, ctaphid.ErrMalformed) {
			t.Errorf("%x: got %v, want ErrMalformed", b, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	err := &ctaphid.CommandError{Command: ctaphid.CmdCBOR, FromKey: true, Err: ctaphid.ErrInvalidSeq}
	if got, want := err.Error(), "ctaphid: CBOR: key answers: packet out of sequence (0x04)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, ctaphid.ErrInvalidSeq) || errors.Is(err, ctaphid.ErrOther) {
		t.Error("errors.Is does not find the code")
	}
}

func FuzzReassembler(f *testing.F) {
	f.Add(64, []byte{1, 2, 3, 4, 0x81, 0, 1, 9})
	f.Add(8, []byte{0, 0, 0, 1, 0x90, 0, 3, 1, 0, 0, 0, 1, 0, 2, 3, 0})
	f.Fuzz(func(t *testing.T, size int, b []byte) {
		r, err := ctaphid.NewReassembler(size)
		if err != nil {
			return
		}
		for len(b) > 0 {
			report := b[:min(size, len(b))]
			b = b[len(report):]
			p, ok := ctaphid.ParsePacket(report)
			if !ok {
				continue
			}
			done, err := r.Add(p)
			if done && (err != nil || r.Active() || len(r.Payload()) > ctaphid.MaxMessage(size)) {
				t.Fatalf("complete with %v, active %v, %d bytes", err, r.Active(), len(r.Payload()))
			}
			if err != nil && r.Active() {
				t.Fatal("active after an error")
			}
		}
	})
}

func BenchmarkFraming(b *testing.B) {
	payload, report := pattern(7609), make([]byte, 64)
	r, err := ctaphid.NewReassembler(64)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		f, _ := ctaphid.NewFramer(64, 1, ctaphid.CmdPing, payload)
		for f.Next(report) {
			p, _ := ctaphid.ParsePacket(report)
			if _, err := r.Add(p); err != nil {
				b.Fatal(err)
			}
		}
	}
}
