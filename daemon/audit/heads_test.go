package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/audit"
)

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
