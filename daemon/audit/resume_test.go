package audit_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/audit"
)

const third = "audit-000003.jsonl"

// store puts a log into a new folder.
func store(t testing.TB, log map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range log {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTornEndIsMovedAsideAndTheChainGoesOn(t *testing.T) {
	sampled, heads := sample(t)
	log := map[string][]byte{}
	for name, file := range sampled {
		log[name] = file.Data
	}
	full := log[third]
	all := heads[len(heads)-1]
	type test struct {
		name string
		last []byte
		torn string // what has to be in the side file
		head uint64 // of the last line that stays
	}
	tests := []test{
		{"whole", full, "", all.Seq},
		{"zeros", append(bytes.Clone(full), make([]byte, 5000)...), string(make([]byte, 5000)), all.Seq},
		{"line of garbage", append(bytes.Clone(full), "garbage\n"...), "garbage\n", all.Seq},
		{"long garbage", append(bytes.Clone(full), bytes.Repeat([]byte("xy\n"), audit.MaxLine)...), strings.Repeat("xy\n", audit.MaxLine), all.Seq},
		{"one long line", append(bytes.Clone(full), bytes.Repeat([]byte("x"), 3*audit.MaxLine)...), strings.Repeat("x", 3*audit.MaxLine), all.Seq},
		{"last line changed", bytes.Replace(full, []byte(fmt.Sprintf(`"seq":%d`, all.Seq)), []byte(`"seq":1`), 1), "", all.Seq - 1},
		{"empty", nil, "", 14},
		{"no whole line", full[:100], string(full[:100]), 14},
		{"nothing but garbage", []byte("a\nb\n"), "a\nb\n", 14},
	}
	for cut := len(full) - 1; cut > 0; cut -= 97 {
		whole := full[:bytes.LastIndexByte(full[:cut], '\n')+1]
		tests = append(tests, test{fmt.Sprintf("cut at %d", cut), full[:cut], string(full[len(whole):cut]), 14 + uint64(bytes.Count(whole, []byte("\n")))})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log[third] = test.last
			dir := store(t, log)
			l := open(t, audit.Config{Dir: dir, MaxSize: 16 << 10})
			fill(t, l, 100, 2)
			var anchors []audit.Head
			for _, head := range heads {
				if head.Seq <= test.head {
					anchors = append(anchors, head)
				}
			}
			report := whole(t, dir, append(anchors, l.Head())...)
			if report.Unfinished != 0 || report.Files != 3 {
				t.Errorf("got %+v", report)
			}
			sides, err := filepath.Glob(filepath.Join(dir, third+".torn-*"))
			if err != nil {
				t.Fatal(err)
			}
			if test.torn == "" && test.name != "last line changed" {
				if len(sides) != 0 || report.Torn != 0 {
					t.Errorf("got %v and %d records about it, want nothing moved", sides, report.Torn)
				}
				return
			}
			said := details(t, dir, audit.OpTorn)
			if len(sides) != 1 || len(said) != 1 || report.Torn != 1 || !strings.Contains(said[0], filepath.Base(sides[0])) {
				t.Fatalf("got %v and %q, want one of each", sides, said)
			}
			got, err := os.ReadFile(sides[0])
			if err != nil {
				t.Fatal(err)
			}
			if test.torn != "" && string(got) != test.torn {
				t.Errorf("got %d bytes in the side file, want %d", len(got), len(test.torn))
			}
			if info, err := os.Stat(sides[0]); err != nil || info.Mode() != 0o600 {
				t.Errorf("got mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestFaultInTheMiddleDoesNotStopTheLogAndIsStillFound(t *testing.T) {
	sampled, _ := sample(t)
	edit(third, func(l [][]byte) [][]byte { l[1] = bytes.Replace(l[1], []byte("ann"), []byte("bob"), 1); return l })(sampled)
	log := map[string][]byte{}
	for name, file := range sampled {
		log[name] = file.Data
	}
	dir := store(t, log)
	l := open(t, audit.Config{Dir: dir})
	fill(t, l, 100, 2)
	if _, err := audit.Verify(t.Context(), os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), third+":2: its hash does not fit") {
		t.Errorf("got %v, want line 2 of %s", err, third)
	}
	if list := files(t, dir); len(list) != 3 {
		t.Errorf("got %v, want nothing moved", list)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := store(t, nil)
	if err := os.Symlink("/dev/null", filepath.Join(dir, "audit-000001.jsonl")); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(audit.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	log := map[string][]byte{"audit-1.jsonl": []byte("x"), "audit-000000.jsonl": []byte("x"), "audit-000001.jsonl.gz": []byte("x"), "notes": []byte("x")}
	dir := store(t, log)
	l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 1})
	fill(t, l, 0, 30)
	whole(t, dir, l.Head())
	for name := range log {
		if got, err := fs.ReadFile(os.DirFS(dir), name); err != nil || cmp.Diff([]byte("x"), got) != "" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
