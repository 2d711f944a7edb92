package vpcd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/fobd/fobd/tokens/pcsc/vpcd"
)

type card struct {
	atr      []byte
	powered  bool
	resets   int
	response []byte
}

func (c *card) ATR() []byte                 { return c.atr }
func (c *card) Power(on bool)               { c.powered = on }
func (c *card) Reset()                      { c.resets++ }
func (c *card) Transmit(apdu []byte) []byte { return c.response }

// serve sends bytes to a card, and returns what it answers until it ends.
func serve(c vpcd.Card, sent []byte) (answer []byte, err error) {
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- vpcd.Serve(context.Background(), there, c) }()
	go func() {
		_, _ = here.Write(sent)
		_, _ = here.Write([]byte{0, 1, 4}) // what was sent before has been answered
		here.Close()
	}()
	answer, _ = io.ReadAll(here)
	return answer, <-done
}

func TestServe(t *testing.T) {
	c := &card{atr: []byte{0x3B, 0}, response: []byte{0x90, 0}}
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- vpcd.Serve(t.Context(), there, c) }()
	for _, e := range []struct{ ask, want []byte }{
		{[]byte{0, 1, 1, 0, 1, 2, 0, 0, 0, 1, 4}, []byte{0, 2, 0x3B, 0}},
		{[]byte{0, 4, 0, 0xA4, 4, 0}, []byte{0, 2, 0x90, 0}},
	} {
		if _, err := here.Write(e.ask); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(e.want))
		if _, err := io.ReadFull(here, got); err != nil || !bytes.Equal(got, e.want) {
			t.Errorf("got % x, %v, want % x", got, err, e.want)
		}
	}
	here.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !c.powered || c.resets != 1 {
		t.Errorf("got %+v, want powered and reset once", c)
	}
}

func TestServeRefusesWhatWouldHangTheReader(t *testing.T) {
	if _, err := serve(&card{}, []byte{0, 1, 4}); !errors.Is(err, vpcd.ErrATR) {
		t.Errorf("got %v, want %v", err, vpcd.ErrATR)
	}
	if _, err := serve(&card{response: make([]byte, 70000)}, []byte{0, 2, 1, 1}); !errors.Is(err, vpcd.ErrTooLong) {
		t.Errorf("got %v, want %v", err, vpcd.ErrTooLong)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	here, there := net.Pipe()
	defer here.Close()
	cancel()
	if err := vpcd.Serve(ctx, there, &card{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 1, 4, 0, 2, 1, 2})
	f.Fuzz(func(_ *testing.T, sent []byte) {
		_, _ = serve(&card{atr: []byte{0x3B, 0}, response: []byte{0x90, 0}}, sent)
	})
}
