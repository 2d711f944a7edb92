package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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

func TestHeadsFindACutOffOrNewEnd(t *testing.T) {
	log, heads := sample(t)
	last := heads[len(heads)-1]
	edit("audit-000003.jsonl", func(l [][]byte) [][]byte { return l[:len(l)-1] })(log)
	if _, err := audit.Verify(t.Context(), log, heads[:len(heads)-1]...); err != nil {
		t.Fatal(err)
	}
	_, err := audit.Verify(t.Context(), log, last, heads[0], audit.Head{})
	if want := fmt.Sprintf("the end is cut off: the last line has number %d, line %d is expected", last.Seq-1, last.Seq); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	// The same number of lines, but other ones from line 10 on.
	other, _ := sample(t)
	moved := last
	moved.Hash[0]++
	_, err = audit.Verify(t.Context(), other, moved)
	if want := "the log was written anew"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestHeadInADroppedFileIsNotTakenForGood(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 2})
	fill(t, l, 0, 1)
	early := l.Head()
	fill(t, l, 1, 50)
	_, err := audit.Verify(t.Context(), os.DirFS(dir), early)
	if want := "line 2 is expected, but the log begins with this line"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	// More is gone than the log says.
	list := files(t, dir)
	if err := os.Remove(filepath.Join(dir, list[0])); err != nil {
		t.Fatal(err)
	}
	_, err = audit.Verify(t.Context(), os.DirFS(dir))
	if want := list[0] + ": the file is missing, and no line says"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
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

// The program in the package's comment says the same as Verify.
func TestPythonVerifies(t *testing.T) {
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Skip(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(doc), "//\timport hashlib")
	script, _, ok := strings.Cut("//\timport hashlib"+script, "\n//\n")
	if !ok {
		t.Fatal("the package's comment has no program")
	}
	script = strings.ReplaceAll(script, "//\t", "")
	log, heads := sample(t)
	dir := t.TempDir()
	run := func() (string, error) {
		var args []string
		for _, name := range slices.Sorted(func(yield func(string) bool) {
			for name := range log {
				yield(name)
			}
		}) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, log[name].Data, 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
		}
		out, err := exec.CommandContext(t.Context(), python, append([]string{"-c", script}, args...)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if got, err := run(); err != nil || got != heads[len(heads)-1].Hash.String() {
		t.Errorf("got %s, %v; want %s", got, err, heads[len(heads)-1].Hash)
	}
	edit(second, func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("ann"), []byte("bob"), 1); return l })(log)
	if got, err := run(); err == nil || !strings.HasSuffix(got, second+":3: broken") {
		t.Errorf("got %s, %v; want line 3 broken", got, err)
	}
}
