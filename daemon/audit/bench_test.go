package audit_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/audit"
)

// median measures each turn by itself and reports the middle one.
func median(b *testing.B, turn func()) {
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		turn()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkAppend appends a record of a usual size, beside the same bytes written to a plain file.
func BenchmarkAppend(b *testing.B) {
	line, _, err := audit.AppendLine(audit.Head{Seq: 100_000}, touch())
	if err != nil {
		b.Fatal(err)
	}
	floor := func(sync bool) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			f, err := os.OpenFile(filepath.Join(b.TempDir(), "floor"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			median(b, func() {
				if _, err := f.Write(line); err != nil {
					b.Fatal(err)
				}
				if sync {
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	log := func(policy audit.SyncPolicy) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			l := open(b, audit.Config{Dir: b.TempDir(), Sync: policy})
			r := touch()
			median(b, func() {
				if err := l.Append(b.Context(), &r, false); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
	b.Run("floor", floor(false))
	b.Run("never", log(audit.SyncNever))
	b.Run("interval", log(audit.SyncInterval))
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		l := open(b, audit.Config{Dir: b.TempDir()})
		b.SetParallelism(16)
		b.RunParallel(func(p *testing.PB) {
			r := touch()
			for p.Next() {
				if err := l.Append(b.Context(), &r, false); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("floor-fsync", floor(true))
	b.Run("always", log(audit.SyncAlways))
	b.Run("always-16", func(b *testing.B) {
		l := open(b, audit.Config{Dir: b.TempDir(), Sync: audit.SyncAlways})
		b.SetParallelism(8)
		b.RunParallel(func(p *testing.PB) {
			r := touch()
			for p.Next() {
				if err := l.Append(b.Context(), &r, false); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// logOf gives the folder of a log with so many lines.
func logOf(b *testing.B, lines int) string {
	b.Helper()
	dir := b.TempDir()
	l := open(b, audit.Config{Dir: dir})
	var group sync.WaitGroup
	const workers = 50
	for range workers {
		group.Go(func() {
			for i := range lines / workers {
				r := touch()
				r.Detail = strconv.Itoa(i)
				if err := l.Append(b.Context(), &r, false); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkVerify checks logs of growing length: the time of a line must stay what it is.
func BenchmarkVerify(b *testing.B) {
	for _, lines := range []int{10_000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(lines), func(b *testing.B) {
			b.ReportAllocs()
			dir := logOf(b, lines)
			var report audit.Report
			for b.Loop() {
				report = whole(b, dir)
			}
			checked := float64(report.Lines) * float64(b.N)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/checked, "ns/line")
			b.ReportMetric(checked/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// BenchmarkRead reads all lines, and those of one user.
func BenchmarkRead(b *testing.B) {
	const lines = 100_000
	dir := logOf(b, lines)
	for name, query := range map[string]audit.Query{"all": {}, "user": {User: "bob"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range audit.Read(b.Context(), os.DirFS(dir), query) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(lines*b.N), "ns/line")
		})
	}
}
