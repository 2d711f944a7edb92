package apdu_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/fobd/fobd/u2f/apdu"
)

func TestCommandCases(t *testing.T) {
	data := []byte{0xD1, 0xD2}
	for _, c := range []struct {
		name            string
		command         apdu.Command
		short, extended string
	}{
		{"case 1", apdu.Command{INS: 3}, "00030000", "00030000"},
		{"case 2", apdu.Command{INS: 3, Le: 5}, "0003000005", "00030000000005"},
		{"case 2, all", apdu.Command{INS: 3, Le: 256}, "0003000000", "00030000000100"},
		{"case 3", apdu.Command{CLA: 0x80, INS: 1, P1: 2, P2: 3, Data: data}, "8001020302d1d2", "80010203000002d1d2"},
		{"case 4", apdu.Command{INS: 1, Data: data, Le: 16}, "0001000002d1d210", "00010000000002d1d20010"},
		{"case 4, all", apdu.Command{INS: 1, Data: data, Le: 256}, "0001000002d1d200", "00010000000002d1d20100"},
		{"case 2, all of extended", apdu.Command{INS: 3, Le: 65536}, "", "00030000000000"},
		{"case 4, all of extended", apdu.Command{INS: 1, Data: data, Le: 65536}, "", "00010000000002d1d20000"},
	} {
		for extended, want := range map[bool]string{false: c.short, true: c.extended} {
			encode := c.command.Short
			if extended {
				encode = c.command.Extended
			}
			got, err := encode()
			if want == "" {
				if !errors.Is(err, apdu.ErrTooLong) {
					t.Errorf("%s, extended %v: got %v, want ErrTooLong", c.name, extended, err)
				}
				continue
			}
			if err != nil || hex.EncodeToString(got) != want {
				t.Errorf("%s, extended %v: got %x, %v, want %s", c.name, extended, got, err, want)
			}
			back, isExtended, err := apdu.ParseCommand(got)
			if err != nil || !reflect.DeepEqual(back, c.command) || isExtended != (extended && len(got) > 4) {
				t.Errorf("%s, extended %v: parsed %+v, %v, %v", c.name, extended, back, isExtended, err)
			}
		}
	}
}

func TestParseCommandQuirk(t *testing.T) {
	// libfido2 asks for the version like this.
	c, extended, err := apdu.ParseCommand([]byte{0, 3, 0, 0, 0, 0, 0, 0, 0})
	if err != nil || !extended || c.INS != 3 || len(c.Data) != 0 || c.Le != 65536 {
		t.Errorf("got %+v, %v, %v", c, extended, err)
	}
}

func TestParseCommandRefuses(t *testing.T) {
	for _, s := range []string{
		"", "000100", "0001000002d1", "0001000001d1d2d3", "000100000000", "00010000000002d1",
		"00010000000001d1d2", "000100000000000000000000", "0001000000000001", "00010000000000d1",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if c, _, err := apdu.ParseCommand(b); !errors.Is(err, apdu.ErrMalformed) {
			t.Errorf("%s: got %+v, %v, want ErrMalformed", s, c, err)
		}
	}
}

func TestCommandTooLong(t *testing.T) {
	c := apdu.Command{Data: make([]byte, 65536)}
	if _, err := c.Extended(); !errors.Is(err, apdu.ErrTooLong) {
		t.Errorf("Extended: got %v, want ErrTooLong", err)
	}
	if _, err := c.Chained(); !errors.Is(err, apdu.ErrTooLong) {
		t.Errorf("Chained: got %v, want ErrTooLong", err)
	}
	if _, err := (apdu.Command{Data: make([]byte, 256)}).Short(); !errors.Is(err, apdu.ErrTooLong) {
		t.Errorf("Short: got %v, want ErrTooLong", err)
	}
	if _, err := (apdu.Command{Le: -1}).Short(); !errors.Is(err, apdu.ErrTooLong) {
		t.Errorf("Le of -1: got %v, want ErrTooLong", err)
	}
}

func TestChain(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 510, 511, 5000} {
		want := apdu.Command{INS: 2, P1: 3, P2: 4, Data: bytes.Repeat([]byte{byte(n)}, n), Le: 256}
		parts, err := want.Chained()
		if err != nil {
			t.Fatal(err)
		}
		if w := max(1, (n+254)/255); len(parts) != w {
			t.Errorf("%d bytes: got %d parts, want %d", n, len(parts), w)
		}
		var a apdu.Assembler
		for i, part := range parts {
			c, _, err := apdu.ParseCommand(part)
			if err != nil {
				t.Fatal(err)
			}
			last := i == len(parts)-1
			if apdu.Chained(c.CLA) == last {
				t.Errorf("%d bytes, part %d: chaining bit is %v", n, i, !last)
			}
			got, done, err := a.Add(c)
			if err != nil || done != last {
				t.Fatalf("%d bytes, part %d: got %v, %v", n, i, done, err)
			}
			if last && (!bytes.Equal(got.Data, want.Data) || got.CLA != 0 || got.INS != 2 || got.P1 != 3 || got.P2 != 4 || got.Le != 256) {
				t.Errorf("%d bytes: got %+v", n, got)
			}
		}
	}
}

func TestAssemblerBounds(t *testing.T) {
	a := apdu.Assembler{Max: 300}
	part := apdu.Command{CLA: 0x10, INS: 2, Data: make([]byte, 200)}
	if _, done, err := a.Add(part); done || err != nil {
		t.Fatalf("got %v, %v", done, err)
	}
	if _, _, err := a.Add(part); !errors.Is(err, apdu.ErrTooLong) {
		t.Errorf("got %v, want ErrTooLong", err)
	}
	// Nothing is left of the chain, nor of one that another command breaks off.
	for range 2 {
		got, done, err := a.Add(apdu.Command{INS: 9, Data: []byte{1}})
		if err != nil || !done || got.INS != 9 || len(got.Data) != 1 {
			t.Errorf("got %+v, %v, %v, want the command by itself", got, done, err)
		}
		if _, _, err := a.Add(part); err != nil {
			t.Fatal(err)
		}
	}
}

// card answers with data in pieces of at most 256 bytes.
func card(data []byte) apdu.SendFunc {
	return func(_ context.Context, command []byte) ([]byte, error) {
		n := min(len(data), 256)
		r := apdu.Response{Data: data[:n], SW: apdu.OK}
		if data = data[n:]; len(data) > 0 {
			r.SW = 0x6100 | apdu.SW(min(len(data), 256)&0xFF)
		}
		return r.Marshal(), nil
	}
}

func TestExchangeGetsWholeResponse(t *testing.T) {
	for _, n := range []int{0, 1, 256, 257, 512, 700} {
		want := bytes.Repeat([]byte{byte(n)}, n)
		got, err := apdu.Exchange(t.Context(), card(want), 0, []byte{0, 1, 0, 0})
		if err != nil || got.SW != apdu.OK || !bytes.Equal(got.Data, want) {
			t.Errorf("%d bytes: got %d, %v, %v", n, len(got.Data), got.SW, err)
		}
	}
}

func TestExchangeGetResponseCommand(t *testing.T) {
	var seen []string
	answers := []string{"aa6102", "bbcc9000"}
	send := func(_ context.Context, command []byte) ([]byte, error) {
		seen = append(seen, hex.EncodeToString(command))
		return hex.DecodeString(answers[len(seen)-1])
	}
	got, err := apdu.Exchange(t.Context(), send, 0x80, []byte{0x80, 1, 0, 0})
	if err != nil || hex.EncodeToString(got.Data) != "aabbcc" || fmt.Sprint(seen) != "[80010000 80c0000002]" {
		t.Errorf("got %x, %v, commands %v", got.Data, err, seen)
	}
}

func TestExchangeEndsChainEarly(t *testing.T) {
	calls := 0
	send := func(context.Context, []byte) ([]byte, error) {
		calls++
		return []byte{0x68, 0x84}, nil
	}
	got, err := apdu.Exchange(t.Context(), send, 0, []byte{0x10, 1, 0, 0}, []byte{0, 1, 0, 0})
	if err != nil || got.SW != apdu.ErrChainingNotSupported || calls != 1 {
		t.Errorf("got %v, %v after %d commands, want 6884 after one", got.SW, err, calls)
	}
}

func TestExchangeBounded(t *testing.T) {
	for name, c := range map[string]struct {
		answer []byte
		want   error
	}{
		"endless":       {append(make([]byte, 200), 0x61, 0), apdu.ErrTooLong},
		"empty promise": {[]byte{0x61, 0}, apdu.ErrMalformed},
		"no status":     {[]byte{0x61}, apdu.ErrMalformed},
	} {
		send := func(context.Context, []byte) ([]byte, error) { return c.answer, nil }
		if _, err := apdu.Exchange(t.Context(), send, 0, []byte{0, 1, 0, 0}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	broken := errors.New("unplugged")
	send := func(context.Context, []byte) ([]byte, error) { return nil, broken }
	if _, err := apdu.Exchange(t.Context(), send, 0, nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestSW(t *testing.T) {
	if err := apdu.OK.Err(); err != nil {
		t.Errorf("OK: got %v, want nil", err)
	}
	for sw, want := range map[apdu.SW]string{
		0x6985: "apdu: conditions of use not satisfied (6985)",
		0x6110: "apdu: 16 more bytes (6110)",
		0x6C00: "apdu: wrong expected length, 256 bytes there (6c00)",
		0x1234: "apdu: unknown status (1234)",
	} {
		if err := sw.Err(); !errors.Is(err, sw) || err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func FuzzCommand(f *testing.F) {
	f.Add([]byte{0, 3, 0, 0})
	f.Add([]byte{0, 1, 0, 0, 2, 7, 8, 0})
	f.Add([]byte{0, 1, 0, 0, 0, 0, 2, 7, 8, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, extended, err := apdu.ParseCommand(b)
		if err != nil {
			if !errors.Is(err, apdu.ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		encode := c.Short
		if extended {
			encode = c.Extended
		}
		again, err := encode()
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if len(c.Data) > 0 && !bytes.Equal(again, b) {
			t.Fatalf("got %x, want %x", again, b)
		}
		back, _, err := apdu.ParseCommand(again)
		if err != nil || back.Le != c.Le || !bytes.Equal(back.Data, c.Data) {
			t.Fatalf("got %+v, %v, want %+v", back, err, c)
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte{0x90, 0})
	f.Add([]byte{1, 2, 3, 0x61, 0x10})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return
		}
		if got := r.Marshal(); !bytes.Equal(got, b) {
			t.Fatalf("got %x, want %x", got, b)
		}
		_ = r.SW.Error()
	})
}
