package audit_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/audit"
)

// mixed is a log of several files, with records of two users, two operations, two keys, one
// each minute.
func mixed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10, Now: func() time.Time { return moment }})
	for i := range 24 {
		r := touch()
		r.Time = moment.Add(time.Duration(i) * time.Minute)
		r.Detail = counted(i, 1)[0]
		r.User = []string{"ann", "bob"}[i%2]
		r.Operation = []string{"touch", "list"}[i/2%2]
		r.Key = []string{"k1", "k2"}[i/4%2]
		add(t, l, r)
	}
	if len(files(t, dir)) < 3 {
		t.Fatal("want several files")
	}
	return dir
}

func TestQueriesChoose(t *testing.T) {
	dir := mixed(t)
	all := read(t, dir, audit.Query{})
	at := func(minutes int) time.Time { return moment.Add(time.Duration(minutes) * time.Minute) }
	for _, test := range []struct {
		name  string
		query audit.Query
		want  func(i int, r *audit.Record) bool
	}{
		{"all", audit.Query{}, func(int, *audit.Record) bool { return true }},
		{"user", audit.Query{User: "bob"}, func(_ int, r *audit.Record) bool { return r.User == "bob" }},
		{"operation", audit.Query{Operation: "list"}, func(_ int, r *audit.Record) bool { return r.Operation == "list" }},
		{"own operation", audit.Query{Operation: audit.OpBegin}, func(_ int, r *audit.Record) bool { return r.Operation == audit.OpBegin }},
		{"key", audit.Query{Key: "k2"}, func(_ int, r *audit.Record) bool { return r.Key == "k2" }},
		{"time", audit.Query{Since: at(5), Until: at(9)}, func(_ int, r *audit.Record) bool { return !r.Time.Before(at(5)) && r.Time.Before(at(9)) }},
		{"after", audit.Query{After: 13}, func(i int, _ *audit.Record) bool { return i >= 13 }},
		{"after the end", audit.Query{After: 99}, func(int, *audit.Record) bool { return false }},
		{"first ones", audit.Query{Limit: 3}, func(i int, _ *audit.Record) bool { return i < 3 }},
		{"last ones", audit.Query{Limit: 3, Last: true}, func(i int, _ *audit.Record) bool { return i >= len(all)-3 }},
		{"last of few", audit.Query{Limit: 99, Last: true, User: "bob"}, func(_ int, r *audit.Record) bool { return r.User == "bob" }},
		{"several", audit.Query{User: "ann", Operation: "touch", Key: "k1", Since: at(3)}, func(_ int, r *audit.Record) bool {
			return r.User == "ann" && r.Operation == "touch" && r.Key == "k1" && !r.Time.Before(at(3))
		}},
	} {
		var want []audit.Entry
		for i := range all {
			if test.want(i, &all[i].Record) {
				want = append(want, all[i])
			}
		}
		if diff := cmp.Diff(want, read(t, dir, test.query)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestPagesMakeTheWhole(t *testing.T) {
	dir := mixed(t)
	var got []audit.Entry
	for after := uint64(0); ; {
		page := read(t, dir, audit.Query{After: after, Limit: 5})
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1].Seq
	}
	if diff := cmp.Diff(read(t, dir, audit.Query{}), got); diff != "" {
		t.Error(diff)
	}
}

func TestReadSaysWhatIsDamagedAndGoesOn(t *testing.T) {
	log, heads := sample(t)
	edit(second, func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("ann"), []byte("bob"), 1); return l })(log)
	log[third].Data = append(log[third].Data, `{"seq":`...)
	var faults []string
	n := 0
	for _, err := range audit.Read(t.Context(), log, audit.Query{Limit: 100, Last: true}) {
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		n++
	}
	if len(faults) != 1 || faults[0] != "audit: "+second+":3: its hash does not fit: it was changed" {
		t.Errorf("got %q, want line 3 of %s", faults, second)
	}
	if want := int(heads[len(heads)-1].Seq) - 1; n != want {
		t.Errorf("got %d lines, want %d", n, want)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	dir := mixed(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range audit.Read(ctx, os.DirFS(dir), audit.Query{}) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	}
	if n != 1 {
		t.Errorf("got %d answers, want one error", n)
	}
}

func TestReadStopsWhenNobodyListens(t *testing.T) {
	dir := mixed(t)
	for _, q := range []audit.Query{{}, {Last: true, Limit: 5}} {
		n := 0
		for range audit.Read(t.Context(), os.DirFS(dir), q) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("got %d lines, want 1", n)
		}
	}
}

func TestReadBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 4})
	done := make(chan struct{})
	go func() {
		defer close(done)
		fill(t, l, 0, 300)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		head := l.Head()
		report, err := audit.Verify(t.Context(), os.DirFS(dir))
		if err != nil || report.Head.Seq < head.Seq {
			t.Fatalf("got head %d, %v; want %d at least", report.Head.Seq, err, head.Seq)
		}
		last := uint64(0)
		for e, err := range audit.Read(t.Context(), os.DirFS(dir), audit.Query{}) {
			if err != nil || e.Seq <= last {
				t.Fatalf("got line %d after %d, %v", e.Seq, last, err)
			}
			last = e.Seq
		}
	}
}
