package seedfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/fobd/fobd/tokens/seedfile"
)

const many = 100_000

// manyCSV is a file of n tokens that is made while it is read, so that it is not in memory itself.
type manyCSV struct {
	n, i int
	rest []byte
}

func (m *manyCSV) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		if m.i == m.n {
			return 0, io.EOF
		}
		m.i++
		m.rest = fmt.Appendf(m.rest[:0], "%013d,%040x,T,6,30\n", m.i, m.i)
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func TestRead100000InBoundedMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var calls, last int
	r, err := seedfile.Read(&manyCSV{n: many}, seedfile.Options{Progress: func(done int) {
		if calls++; done <= last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		last = done
	}})
	if err != nil || len(r.Tokens) != many || len(r.Refused) != 0 {
		t.Fatalf("got %v, want %d tokens", err, many)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if calls != many/1000 || last != many {
		t.Errorf("progress: got %d calls up to %d, want %d up to %d", calls, last, many/1000, many)
	}
	kept, total := (after.HeapAlloc-before.HeapAlloc)>>20, (after.TotalAlloc-before.TotalAlloc)>>20
	t.Logf("%d MiB kept, %d MiB allocated in all", kept, total)
	if kept > 100 || total > 400 {
		t.Errorf("got %d MiB kept and %d MiB allocated, want at most 100 and 400", kept, total)
	}
	runtime.KeepAlive(r)
}

func TestReadLimits(t *testing.T) {
	_, err := seedfile.Read(&endless{block: bytes.Repeat([]byte("A,\n"), 1<<14)}, seedfile.Options{})
	if !errors.Is(err, seedfile.ErrTooLarge) || !strings.Contains(err.Error(), "more than 1000000 tokens") {
		t.Errorf("got %v, want too many tokens", err)
	}
	r := &endless{block: append(bytes.Repeat([]byte("#"), 1<<15), '\n')}
	_, err = seedfile.Read(r, seedfile.Options{Format: seedfile.CSV})
	if !errors.Is(err, seedfile.ErrTooLarge) || r.n > seedfile.MaxSize+1<<20 {
		t.Errorf("lines: got %v after %d bytes, want too large", err, r.n)
	}
	r = &endless{block: bytes.Repeat([]byte("<a/>"), 1<<13)}
	root := `<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">`
	_, err = seedfile.Read(io.MultiReader(strings.NewReader(root), &io.LimitedReader{R: r, N: 1 << 20}, strings.NewReader("<a>"), r), seedfile.Options{})
	if !errors.Is(err, seedfile.ErrFormat) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("elements: got %v, want too many", err)
	}
}

// endless is a block again and again.
type endless struct {
	block []byte
	n     int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.block[e.n%len(e.block):])
	e.n += n
	return n, nil
}

func BenchmarkRead100000(b *testing.B) {
	csv, err := io.ReadAll(&manyCSV{n: many})
	if err != nil {
		b.Fatal(err)
	}
	r, err := seedfile.Read(bytes.NewReader(csv), seedfile.Options{})
	if err != nil {
		b.Fatal(err)
	}
	key := make([]byte, 16)
	var pskc bytes.Buffer
	if err := seedfile.WritePSKC(&pskc, r.Tokens, seedfile.WriteOptions{Key: key}); err != nil {
		b.Fatal(err)
	}
	for name, file := range map[string][]byte{"csv": csv, "pskc": pskc.Bytes()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if _, err := seedfile.Read(bytes.NewReader(file), seedfile.Options{Key: key}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("writepskc", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := seedfile.WritePSKC(io.Discard, r.Tokens, seedfile.WriteOptions{Key: key}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
