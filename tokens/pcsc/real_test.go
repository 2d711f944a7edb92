package pcsc_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/pcsc/pcsctest"
)

// echo answers with the command and 9000, after hold if there is one.
type echo struct{ began, hold chan struct{} }

func (echo) ATR() []byte { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }
func (echo) Power(bool)  {}
func (echo) Reset()      {}
func (e echo) Transmit(apdu []byte) []byte {
	if e.hold != nil && apdu[0] == 0xEE {
		close(e.began)
		<-e.hold
	}
	return append(bytes.Clone(apdu), 0x90, 0x00)
}

func taken(t *testing.T, s *pcsctest.Stack) *pcsc.Card {
	t.Helper()
	card, err := s.Client().Connect(t.Context(), pcsctest.Reader, pcsc.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { card.Close() })
	return card
}

func TestPcscdSeesCardsComeAndGo(t *testing.T) {
	s := pcsctest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := make(chan bool, 16)
	go func() {
		for readers, err := range s.Client().Watch(ctx, pcsc.WatchConfig{}) {
			if err == nil {
				seen <- readers[0].Card()
			}
		}
	}()
	want := func(card bool) {
		t.Helper()
		for {
			select {
			case got := <-seen:
				if got == card {
					return
				}
			case <-ctx.Done():
				t.Fatalf("not seen: card %v", card)
			}
		}
	}
	want(false)
	for range 2 {
		s.Insert(echo{})
		want(true)
		s.Remove()
		want(false)
	}
	if _, err := s.Client().Connect(ctx, pcsctest.Reader, pcsc.ConnectOptions{}); !errors.Is(err, pcsc.ErrNoCard) {
		t.Errorf("got %v, want %v", err, pcsc.ErrNoCard)
	}
	if _, err := s.Client().Connect(ctx, "none", pcsc.ConnectOptions{}); !errors.Is(err, pcsc.ErrNoReader) {
		t.Errorf("got %v, want %v", err, pcsc.ErrNoReader)
	}
}

func TestPcscdKeepsTransactionsApart(t *testing.T) {
	s := pcsctest.Start(t)
	s.Insert(echo{})
	one, two := taken(t, s), taken(t, s)
	err := one.Transaction(t.Context(), func(ctx context.Context) error {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, err := two.Transmit(short, make([]byte, 4)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		_, err := one.Transmit(ctx, make([]byte, 4))
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := two.Transaction(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestPcscdTellsOfAReset(t *testing.T) {
	s := pcsctest.Start(t)
	s.Insert(echo{})
	one, two := taken(t, s), taken(t, s)
	if err := two.Reconnect(t.Context(), pcsc.ResetCard); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Transmit(t.Context(), make([]byte, 4)); !errors.Is(err, pcsc.ErrReset) {
		t.Errorf("got %v, want %v", err, pcsc.ErrReset)
	}
	if _, err := one.Transmit(t.Context(), make([]byte, 4)); err != nil {
		t.Error(err)
	}
}

func TestPcscdHoldsACardExclusively(t *testing.T) {
	s := pcsctest.Start(t)
	s.Insert(echo{})
	card, err := s.Client().Connect(t.Context(), pcsctest.Reader, pcsc.ConnectOptions{Share: pcsc.ShareExclusive})
	if err != nil {
		t.Fatal(err)
	}
	defer card.Close()
	if _, err := s.Client().Connect(t.Context(), pcsctest.Reader, pcsc.ConnectOptions{}); !errors.Is(err, pcsc.ErrSharing) {
		t.Errorf("got %v, want %v", err, pcsc.ErrSharing)
	}
}

func TestPcscdIsKilledInTheMiddle(t *testing.T) {
	s := pcsctest.Start(t)
	e := echo{make(chan struct{}), make(chan struct{})}
	s.Insert(e)
	card := taken(t, s)
	failed := make(chan error, 1)
	go func() {
		_, err := card.Transmit(t.Context(), []byte{0xEE, 0, 0, 0})
		failed <- err
	}()
	<-e.began
	time.AfterFunc(200*time.Millisecond, func() { close(e.hold) }) // Kill waits for the card
	s.Kill()
	if err := <-failed; !errors.Is(err, pcsc.ErrStopped) {
		t.Errorf("got %v, want %v", err, pcsc.ErrStopped)
	}
	s.Restart()
	s.Insert(echo{})
	if err := card.Transaction(t.Context(), func(ctx context.Context) error {
		_, err := card.Transmit(ctx, make([]byte, 4))
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestPcscdIsFrozen(t *testing.T) {
	s := pcsctest.Start(t)
	s.Freeze()
	defer s.Thaw()
	c := s.Client()
	c.Timeout = 200 * time.Millisecond
	if _, err := c.Readers(t.Context()); !errors.Is(err, pcsc.ErrSilent) {
		t.Errorf("got %v, want %v", err, pcsc.ErrSilent)
	}
}

func TestPcscdCancelsAWait(t *testing.T) {
	s := pcsctest.Start(t)
	session, err := s.Client().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	known, err := session.Wait(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := session.Wait(t.Context(), known)
		ended <- err
	}()
	for tick := time.Tick(50 * time.Millisecond); ; {
		// It may not wait yet.
		if err := session.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, pcsc.ErrCancelled) {
				t.Errorf("got %v, want %v", err, pcsc.ErrCancelled)
			}
			return
		case <-tick:
		}
	}
}

func BenchmarkTransmitThroughPcscd(b *testing.B) {
	s := pcsctest.Start(b)
	s.Insert(echo{})
	card, err := s.Client().Connect(b.Context(), pcsctest.Reader, pcsc.ConnectOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer card.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := card.Transmit(b.Context(), make([]byte, 4)); err != nil {
			b.Fatal(err)
		}
	}
}
