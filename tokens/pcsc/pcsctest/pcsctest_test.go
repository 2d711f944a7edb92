package pcsctest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/pcsc/pcsctest"
)

// echo answers every APDU with itself and 9000.
type echo struct{}

func (echo) ATR() []byte                 { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }
func (echo) Power(bool)                  {}
func (echo) Reset()                      {}
func (echo) Transmit(apdu []byte) []byte { return append(bytes.Clone(apdu), 0x90, 0x00) }

// tool skips the test without a program, or fails it if CI is set.
func tool(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%s is not installed", name)
	default:
		t.Skipf("%s is not installed", name)
	}
}

func TestStackGoesInAndOut(t *testing.T) {
	s := pcsctest.Start(t)
	for range 2 {
		s.Insert(echo{})
		card, err := s.Client().Connect(t.Context(), pcsctest.Reader, pcsc.ConnectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := card.Transmit(t.Context(), []byte{0, 1, 2, 3})
		if want := []byte{0, 1, 2, 3, 0x90, 0}; err != nil || !bytes.Equal(got, want) {
			t.Errorf("got % x, %v, want % x", got, err, want)
		}
		if err := card.Close(); err != nil {
			t.Error(err)
		}
		s.Remove()
	}
}

func TestStacksDoNotMeet(t *testing.T) {
	one, two := pcsctest.Start(t), pcsctest.Start(t)
	one.Insert(echo{})
	readers, err := two.Client().Readers(t.Context())
	if err != nil || len(readers) != 2 || readers[0].State.Has(pcsc.StatePresent) {
		t.Errorf("got %+v, %v, want two empty readers", readers, err)
	}
}

func TestPcscdEndsAndStarts(t *testing.T) {
	s := pcsctest.Start(t)
	for _, end := range []func(){s.Stop, s.Kill} {
		s.Insert(echo{})
		end()
		s.Restart()
	}
}

func TestPcscScanFindsTheReaders(t *testing.T) {
	tool(t, "pcsc_scan")
	s := pcsctest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := s.Command(ctx, "pcsc_scan", "-r").CombinedOutput()
	for _, want := range []string{pcsctest.Reader, pcsctest.SecondReader} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got %q, %v, want %q in it", out, err, want)
		}
	}
}

func TestYkmanFindsTheReaders(t *testing.T) {
	tool(t, "ykman")
	s := pcsctest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := s.Command(ctx, "ykman", "list", "--readers").CombinedOutput()
	if err != nil || !strings.Contains(string(out), pcsctest.Reader) {
		t.Errorf("got %q, %v, want %q in it", out, err, pcsctest.Reader)
	}
}
