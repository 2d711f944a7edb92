package audit_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/fobd/fobd/daemon/audit"
)

// sample is a log of three files with its head, and heads on the way.
func sample(t testing.TB) (fstest.MapFS, []audit.Head) {
	t.Helper()
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10})
	var heads []audit.Head
	for i := range 18 {
		fill(t, l, i, 1)
		heads = append(heads, l.Head())
	}
	l.Close()
	return load(t, dir), heads
}

// memory makes a file system of files.
func memory(files map[string][]byte) fs.FS {
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return fsys
}

func load(t testing.TB, dir string) fstest.MapFS {
	t.Helper()
	log := fstest.MapFS{}
	for _, name := range files(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		log[name] = &fstest.MapFile{Data: data}
	}
	if len(log) != 3 {
		t.Fatalf("got %d files, want 3", len(log))
	}
	return log
}

const second = "audit-000002.jsonl"

// edit changes the lines of a file, which keep their line feeds.
func edit(name string, change func(lines [][]byte) [][]byte) func(fstest.MapFS) {
	return func(log fstest.MapFS) {
		lines := bytes.SplitAfter(log[name].Data, []byte("\n"))
		log[name].Data = bytes.Join(change(lines[:len(lines)-1]), nil)
	}
}

func TestFaultsAreFound(t *testing.T) {
	replace := func(old, new string) func([][]byte) [][]byte {
		return func(lines [][]byte) [][]byte {
			lines[2] = bytes.Replace(lines[2], []byte(old), []byte(new), 1)
			return lines
		}
	}
	for _, test := range []struct {
		name   string
		change func(fstest.MapFS)
		want   string
	}{
		{"changed line", edit(second, replace(`"user":"ann"`, `"user":"bob"`)), second + ":3: its hash does not fit"},
		{"changed time", edit(second, replace("2026", "2025")), second + ":3: its hash does not fit"},
		{"changed number", edit(second, replace(`{"seq":`, `{"seq":1`)), second + ":3: its hash does not fit"},
		{"blank put in", edit(second, replace(`,"user"`, `, "user"`)), second + ":3: its hash does not fit"},
		{"carriage return put in", edit(second, replace("\n", "\r\n")), second + ":3: it is not a line"},
		{"removed line", edit(second, func(l [][]byte) [][]byte { return slices.Delete(l, 2, 3) }), second + ":3: it has number 11 instead of 10: lines are missing"},
		{"lines that changed places", edit(second, func(l [][]byte) [][]byte { l[2], l[3] = l[3], l[2]; return l }), second + ":3: it has number 11 instead of 10: lines are missing or have changed places"},
		{"repeated line", edit(second, func(l [][]byte) [][]byte { return slices.Insert(l, 3, l[2]) }), second + ":4: it has number 10 instead of 11: it is there twice"},
		{"empty line", edit(second, func(l [][]byte) [][]byte { return slices.Insert(l, 3, []byte("\n")) }), second + ":4: it is not a line"},
		{"line without a last quote", edit(second, func(l [][]byte) [][]byte { l[2] = append(l[2][:20], '\n'); return l }), second + ":3: it is not a line"},
		{"long line", edit(second, func(l [][]byte) [][]byte {
			return slices.Insert(l, 3, append(bytes.Repeat([]byte("x"), audit.MaxLine), '\n'))
		}), second + ":4: it is longer than any line"},
		{"line with a hash of its own", edit(second, func(l [][]byte) [][]byte {
			e, err := audit.ParseLine(bytes.TrimSuffix(l[2], []byte("\n")))
			if err != nil {
				panic(err)
			}
			e.User = "bob"
			l[2], _, _ = audit.AppendLine(audit.Head{Seq: e.Seq - 1, Hash: e.Prev}, e.Record)
			return l
		}), second + ":4: it does not hang on the line before"},
		{"removed first line", edit(second, func(l [][]byte) [][]byte { return l[1:] }), second + ":1: it has number 9 instead of 8"},
		{"removed last line of a file", edit(second, func(l [][]byte) [][]byte { return l[:len(l)-1] }), "audit-000003.jsonl:1: it has number 15 instead of 14"},
		{"file that is cut off", func(log fstest.MapFS) { log[second].Data = log[second].Data[:3000] }, second + ":6: the line is cut off"},
		{"empty file", func(log fstest.MapFS) { log[second].Data = nil }, second + ": the file is empty"},
		{"missing file", func(log fstest.MapFS) { delete(log, second) }, second + ": the file is missing"},
		{"missing first file", func(log fstest.MapFS) { delete(log, "audit-000001.jsonl") }, "audit-000001.jsonl: the file is missing, and no line says"},
		{"missing first line of all", edit("audit-000001.jsonl", func(l [][]byte) [][]byte { return l[1:] }), "audit-000001.jsonl:1: it has number 2: the lines before it are missing"},
		{"files that changed places", func(log fstest.MapFS) {
			log[second], log["audit-000003.jsonl"] = log["audit-000003.jsonl"], log[second]
		}, second + ":1: it has number 15 instead of 8"},
		{"no file", func(log fstest.MapFS) { clear(log) }, "there is no log"},
		{"device in place of a file", func(log fstest.MapFS) { log[second].Mode = fs.ModeDevice }, "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			log, heads := sample(t)
			if _, err := audit.Verify(t.Context(), log, heads...); err != nil {
				t.Fatal(err)
			}
			test.change(log)
			report, err := audit.Verify(t.Context(), log)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if fault, ok := errors.AsType[*audit.Fault](err); ok != (report.Fault != nil) || fault != report.Fault {
				t.Errorf("got %v, and %v in the report", fault, report.Fault)
			}
			if report.Fault != nil && report.Lines > 0 && report.Head.Seq != report.FirstSeq+report.Lines-1 {
				t.Errorf("got head %d after %d lines", report.Head.Seq, report.Lines)
			}
		})
	}
}

// forge makes a log of lines of its own, each with a correct hash.
func forge(t testing.TB, records ...audit.Record) fstest.MapFS {
	t.Helper()
	var data []byte
	var head audit.Head
	for _, r := range records {
		line, next, err := audit.AppendLine(head, r)
		if err != nil {
			t.Fatal(err)
		}
		data, head = append(data, line...), next
	}
	return fstest.MapFS{"audit-000001.jsonl": {Data: data}}
}

func TestForgedFilesAreFound(t *testing.T) {
	begin := audit.Record{Time: moment, Operation: audit.OpBegin, Version: audit.Version, File: 1}
	other, later := begin, begin
	other.File, later.Version = 2, 2
	for _, test := range []struct {
		name    string
		records []audit.Record
		want    string
	}{
		{"no first line", []audit.Record{touch()}, ":1: the first line of the file is missing"},
		{"two first lines", []audit.Record{begin, begin}, ":2: a file begins in the middle"},
		{"another file's first line", []audit.Record{other}, ":1: the file was audit-000002.jsonl"},
		{"another version", []audit.Record{later}, ":1: the file has version 2"},
		{"record without operation", []audit.Record{begin, {Time: moment}}, ":2: it has no operation"},
	} {
		_, err := audit.Verify(t.Context(), forge(t, test.records...))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestLineThatIsBeingWrittenIsNoFault(t *testing.T) {
	log, heads := sample(t)
	last := log["audit-000003.jsonl"]
	last.Data = append(last.Data, `{"seq":19,"ti`...)
	report, err := audit.Verify(t.Context(), log, heads...)
	if err != nil || report.Unfinished != 13 || report.Head != heads[len(heads)-1] {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir})
	fill(t, l, 0, 1100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := audit.Verify(ctx, os.DirFS(dir)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// broken is a file system whose files can't be read.
type broken struct{ fstest.MapFS }

type brokenFile struct{ fs.File }

func (brokenFile) Read([]byte) (int, error) { return 0, iotest.ErrTimeout }

func (b broken) Open(name string) (fs.File, error) {
	f, err := b.MapFS.Open(name)
	if name == "." {
		return f, err
	}
	return brokenFile{f}, err
}

func TestUnreadableLogIsNoFault(t *testing.T) {
	log, _ := sample(t)
	report, err := audit.Verify(t.Context(), broken{log})
	if !errors.Is(err, iotest.ErrTimeout) || report.Fault != nil {
		t.Errorf("got %v, %+v", err, report)
	}
	for _, err = range audit.Read(t.Context(), broken{log}, audit.Query{}) {
		if !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("Read: got %v, want %v", err, iotest.ErrTimeout)
		}
	}
}

// moving is a file system that hides a file from whom lists it for the first time.
type moving struct {
	fstest.MapFS
	hide  string
	times *int
}

func (m moving) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := m.MapFS.ReadDir(name)
	if *m.times--; *m.times >= 0 {
		list = slices.DeleteFunc(list, func(e fs.DirEntry) bool { return e.Name() == m.hide })
	}
	return list, err
}

func TestFilesThatComeAndGoAreNoFault(t *testing.T) {
	log, heads := sample(t)
	for name := range log {
		if _, err := audit.Verify(t.Context(), moving{log, name, new(1)}, heads...); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
