package pcsc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/pcsc"
)

var native = binary.NativeEndian

// fake is a pcscd, written from the descriptions of its protocol.
type fake struct {
	minor   uint32 // what it has
	strict  bool   // takes no other
	readers []string
	// on answers commands in other ways: nil hangs up, empty is silence.
	on    map[uint32]func(body []byte) []byte
	dials int
}

func (f *fake) client() *pcsc.Client {
	return &pcsc.Client{Dial: func(context.Context) (net.Conn, error) {
		f.dials++
		here, there := net.Pipe()
		go f.serve(there)
		return here, nil
	}}
}

type request struct {
	cmd  uint32
	body []byte
}

// serve reads ahead, as a socket's buffer does.
func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	requests := make(chan request, 16)
	go func() {
		defer close(requests)
		for {
			head := make([]byte, 8)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			r := request{native.Uint32(head[4:]), make([]byte, native.Uint32(head))}
			if _, err := io.ReadFull(conn, r.body); err != nil {
				return
			}
			if at := map[uint32]int{9: 12, 10: 8}[r.cmd]; at > 0 {
				data := make([]byte, native.Uint32(r.body[at:]))
				if _, err := io.ReadFull(conn, data); err != nil {
					return
				}
				r.body = append(r.body, data...)
			}
			requests <- r
		}
	}()
	client := uint32(0)
	for r := range requests {
		answer := f.answer(&client, r)
		if answer == nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (f *fake) answer(client *uint32, r request) []byte {
	if on := f.on[r.cmd]; on != nil {
		return on(r.body)
	}
	switch r.cmd {
	case 0x11:
		asked := native.Uint32(r.body[4:])
		if asked == f.minor || !f.strict && asked >= 4 && asked < f.minor {
			*client = asked
			return words(4, f.minor, 0)
		}
		return words(4, f.minor, 0x8010001E)
	case 0x12:
		return f.states(max(16, (len(f.readers)+15)/16*16*min(1, int(7-f.minor))), *client)
	case 0x13:
		if *client >= 6 {
			return []byte{}
		}
		return f.states(max(16, len(f.readers)), *client)
	case 0x14:
		return words(0, 0)
	case 0x16:
		return words(uint32(len(f.readers)))
	case 0x17:
		return f.states(len(f.readers), *client)
	case 0x04:
		native.PutUint32(r.body[140:], 7)
		native.PutUint32(r.body[144:], 2)
	case 0x05:
		native.PutUint32(r.body[16:], 2)
	case 0x09:
		return transmitted(r.body[:32], append(r.body[32:], 0x90, 0))
	}
	return r.body
}

// states is a list as 4:4 and 4:5 have it, cut for old clients of a 4:6.
func (f *fake) states(entries int, client uint32) []byte {
	if f.minor >= 6 && client < 6 {
		entries = 16
	}
	b := make([]byte, entries*184)
	for i, name := range f.readers[:min(entries, len(f.readers))] {
		e := b[i*184:]
		copy(e, name)
		native.PutUint32(e[132:], 0x34)
		copy(e[140:], []byte{0x3B, 0x00})
		native.PutUint32(e[176:], 2)
		native.PutUint32(e[180:], 2)
	}
	return b
}

func transmitted(body, response []byte) []byte {
	native.PutUint32(body[24:], uint32(len(response)))
	native.PutUint32(body[28:], 0)
	return append(bytes.Clone(body[:32]), response...)
}

func words(fields ...uint32) []byte {
	var b []byte
	for _, f := range fields {
		b = native.AppendUint32(b, f)
	}
	return b
}

// refuses is a command's answer of a size with a status at its end.
func refuses(size int, rv pcsc.Error) func([]byte) []byte {
	return func([]byte) []byte { return append(make([]byte, size-4), words(uint32(rv))...) }
}

func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("Reader %02X 00", i))
	}
	return list
}

func TestReadersInEveryVersion(t *testing.T) {
	for minor := uint32(4); minor <= 6; minor++ {
		for _, strict := range []bool{true, false} {
			for _, n := range []int{0, 1, 16, 17, 40} {
				t.Run(fmt.Sprintf("4:%d strict %v, %d readers", minor, strict, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := &fake{minor: minor, strict: strict, readers: names(n)}
						got, err := f.client().Readers(t.Context())
						if err != nil || len(got) != n {
							t.Fatalf("got %d readers, %v, want %d", len(got), err, n)
						}
						for i, r := range got {
							if r.Name != f.readers[i] || !r.Card() || !bytes.Equal(r.ATR, []byte{0x3B, 0}) || r.Protocol != pcsc.T1 {
								t.Errorf("got %+v", r)
							}
						}
					})
				})
			}
		}
	}
}

func TestFailuresToOpen(t *testing.T) {
	hangsUp := func([]byte) []byte { return nil }
	silent := func([]byte) []byte { return []byte{} }
	half := func([]byte) []byte { return words(4) }
	for name, c := range map[string]struct {
		f    *fake
		want error
	}{
		"too old":         {&fake{minor: 3, strict: true}, pcsc.ErrVersion},
		"too new":         {&fake{minor: 9, strict: true}, pcsc.ErrVersion},
		"polkit":          {&fake{minor: 4, on: map[uint32]func([]byte) []byte{0x11: hangsUp}}, pcsc.ErrDenied},
		"silence":         {&fake{minor: 4, on: map[uint32]func([]byte) []byte{0x01: silent}}, pcsc.ErrSilent},
		"half an answer":  {&fake{minor: 4, on: map[uint32]func([]byte) []byte{0x01: half}}, pcsc.ErrSilent},
		"end in the list": {&fake{minor: 4, on: map[uint32]func([]byte) []byte{0x12: hangsUp}}, pcsc.ErrStopped},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if _, err := c.f.client().Readers(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestNoService(t *testing.T) {
	c := &pcsc.Client{Socket: t.TempDir() + "/none"}
	if _, err := c.Readers(t.Context()); !errors.Is(err, pcsc.ErrNoService) {
		t.Errorf("got %v, want %v", err, pcsc.ErrNoService)
	}
}

func TestExclusivelyHeldCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{minor: 4, on: map[uint32]func([]byte) []byte{0x04: refuses(152, pcsc.ErrSharing)}}
		if _, err := f.client().Connect(t.Context(), "x", pcsc.ConnectOptions{}); !errors.Is(err, pcsc.ErrSharing) {
			t.Errorf("got %v, want %v", err, pcsc.ErrSharing)
		}
	})
}

func connect(t *testing.T, f *fake) *pcsc.Card {
	t.Helper()
	card, err := f.client().Connect(t.Context(), "Reader 00 00", pcsc.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { card.Close() })
	return card
}

func TestFailuresToTransmit(t *testing.T) {
	for name, c := range map[string]struct {
		answer func([]byte) []byte
		want   error
	}{
		"removed": {refuses(32, pcsc.ErrRemoved), pcsc.ErrRemoved},
		"reset":   {refuses(32, pcsc.ErrReset), pcsc.ErrReset},
		"hung up": {func([]byte) []byte { return nil }, pcsc.ErrStopped},
		"silent":  {func([]byte) []byte { return []byte{} }, pcsc.ErrSilent},
		"much too long": {func(b []byte) []byte {
			native.PutUint32(b[24:], 1<<31)
			return b[:32]
		}, pcsc.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{minor: 4, readers: names(1), on: map[uint32]func([]byte) []byte{0x09: c.answer}}
				card := connect(t, f)
				if _, err := card.Transmit(t.Context(), make([]byte, 5)); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestUsableAfterReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{minor: 4, readers: names(1)}
		f.on = map[uint32]func([]byte) []byte{0x09: func([]byte) []byte {
			delete(f.on, 0x09)
			return refuses(32, pcsc.ErrReset)(nil)
		}}
		card := connect(t, f)
		if _, err := card.Transmit(t.Context(), make([]byte, 5)); !errors.Is(err, pcsc.ErrReset) {
			t.Errorf("got %v, want %v", err, pcsc.ErrReset)
		}
		if got, err := card.Transmit(t.Context(), make([]byte, 5)); err != nil || len(got) != 7 {
			t.Errorf("got % x, %v", got, err)
		}
	})
}

func TestExtendedAPDU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card := connect(t, &fake{minor: 5, strict: true, readers: names(1)})
		long := bytes.Repeat([]byte{1}, 3000)
		if got, err := card.Transmit(t.Context(), long); err != nil || !bytes.Equal(got, append(slices.Clone(long), 0x90, 0)) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if _, err := card.Transmit(t.Context(), make([]byte, 70000)); !errors.Is(err, pcsc.ErrTooLong) {
			t.Errorf("got %v, want %v", err, pcsc.ErrTooLong)
		}
	})
}

// A cancelled exchange closes its connection; the next transaction makes another.
func TestCancelledTransmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{minor: 4, readers: names(1), on: map[uint32]func([]byte) []byte{0x09: func([]byte) []byte { return []byte{} }}}
		card := connect(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := card.Transmit(ctx, make([]byte, 5)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		delete(f.on, 0x09)
		err := card.Transaction(t.Context(), func(ctx context.Context) error {
			_, err := card.Transmit(ctx, make([]byte, 5))
			return err
		})
		if err != nil || f.dials != 2 {
			t.Errorf("got %v after %d connections, want nil after 2", err, f.dials)
		}
	})
}

func TestCancelledWaitLeavesTheSessionUsable(t *testing.T) {
	for minor := uint32(4); minor <= 6; minor++ {
		synctest.Test(t, func(t *testing.T) {
			s, err := (&fake{minor: minor, strict: true, readers: names(3)}).client().Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			known, err := s.Wait(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if _, err := s.Wait(ctx, known); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("4:%d: got %v, want %v", minor, err, context.DeadlineExceeded)
			}
			if got, err := s.Readers(t.Context()); err != nil || len(got) != 3 {
				t.Errorf("4:%d: got %v, %v, want 3 readers", minor, got, err)
			}
		})
	}
}

func TestParseName(t *testing.T) {
	n := pcsc.ParseName("Yubico YubiKey OTP+FIDO+CCID 00 00")
	if n.Product != "Yubico YubiKey" || !n.Has("CCID") || n.Reader != 0 || n.Slot != 0 {
		t.Errorf("got %+v", n)
	}
	n = pcsc.ParseName("Nitrokey 3 [CCID Interface] (AB12) 01 00")
	if n.Product != "Nitrokey 3" || n.Interface != "CCID Interface" || n.Serial != "AB12" || n.Reader != 1 {
		t.Errorf("got %+v", n)
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("Yubico YubiKey OTP+FIDO+CCID 00 00")
	f.Fuzz(func(_ *testing.T, name string) { pcsc.ParseName(name) })
}

// Whatever pcscd answers, every request ends without a panic.
func FuzzAnswers(f *testing.F) {
	f.Add(uint32(0x11), words(4, 4, 0))
	f.Add(uint32(0x12), make([]byte, 16*184))
	f.Add(uint32(0x13), make([]byte, 16*184+8))
	f.Add(uint32(0x04), make([]byte, 152))
	f.Add(uint32(0x05), make([]byte, 24))
	f.Add(uint32(0x09), make([]byte, 34))
	f.Add(uint32(0x0A), make([]byte, 24))
	f.Add(uint32(0x16), words(3))
	f.Add(uint32(0x17), make([]byte, 3*184))
	f.Fuzz(func(t *testing.T, cmd uint32, answer []byte) {
		synctest.Test(t, func(t *testing.T) {
			minor := 4 + cmd>>8%3
			fake := &fake{minor: minor, strict: true, readers: names(1)}
			fake.on = map[uint32]func([]byte) []byte{cmd & 0x1F: func([]byte) []byte { return append([]byte{}, answer...) }}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c := fake.client()
			if s, err := c.Open(ctx); err == nil {
				_, _ = s.Readers(ctx)
				_, _ = s.Wait(ctx, nil)
				s.Close()
			}
			if card, err := c.Connect(ctx, "Reader 00 00", pcsc.ConnectOptions{}); err == nil {
				_, _ = card.Transmit(ctx, make([]byte, 5))
				_ = card.Reconnect(ctx, pcsc.ResetCard)
				_, _ = card.Control(ctx, pcsc.ControlFeatures, nil)
				card.Close()
			}
		})
	})
}

// ISO/IEC 7816-3, section 12.2: with T=0 the response is fetched, and a wrong Le corrected.
func TestT0FetchesTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent [][]byte
		answers := [][]byte{{0x61, 2}, {0xAA, 0xBB, 0x90, 0}, {0x6C, 1}, {0xCC, 0x90, 0}}
		f := &fake{minor: 4, readers: names(1), on: map[uint32]func([]byte) []byte{
			0x04: func(b []byte) []byte {
				native.PutUint32(b[144:], 1)
				return b
			},
			0x09: func(b []byte) []byte {
				sent = append(sent, bytes.Clone(b[32:]))
				return transmitted(b, answers[len(sent)-1])
			},
		}}
		card := connect(t, f)
		for _, c := range []struct{ command, want []byte }{
			{[]byte{0, 0xA4, 4, 0, 1, 9, 0}, []byte{0xAA, 0xBB, 0x90, 0}},
			{[]byte{0, 0xCA, 0, 0, 5}, []byte{0xCC, 0x90, 0}},
		} {
			if got, err := card.Transmit(t.Context(), c.command); err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("got % x, %v, want % x", got, err, c.want)
			}
		}
		want := [][]byte{{0, 0xA4, 4, 0, 1, 9}, {0, 0xC0, 0, 0, 2}, {0, 0xCA, 0, 0, 5}, {0, 0xCA, 0, 0, 1}}
		if !slices.EqualFunc(sent, want, bytes.Equal) {
			t.Errorf("sent % x, want % x", sent, want)
		}
	})
}

// The list of states is cut short by a notification, again and again.
func TestNotificationsWithoutAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{minor: 6, strict: true, on: map[uint32]func([]byte) []byte{
			0x17: func([]byte) []byte { return make([]byte, 8) },
		}}
		s, err := f.client().Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Wait(t.Context(), nil); !errors.Is(err, pcsc.ErrMalformed) {
			t.Errorf("got %v, want %v", err, pcsc.ErrMalformed)
		}
	})
}
