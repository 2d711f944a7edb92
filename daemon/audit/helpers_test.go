package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/audit"
)

// moment is a time that every machine writes alike.
var moment = time.Date(2026, 5, 1, 8, 0, 0, 500_000_000, time.UTC)

// touch is a record like those of every day.
func touch() audit.Record {
	return audit.Record{
		Time: moment, Operation: "touch", Scope: "use",
		User: "ann", UID: new(uint32(1000)), PID: 4242, Program: "fob", Exe: "/usr/bin/fob", App: "app-fob.scope", Session: "3",
		FrontEnd: audit.FrontEndSocket, Key: "usb-1-2", Serial: "0815", AAGUID: "ee882879-721c-4913-9775-3dfcce97072a",
		RPID: "example.com", Origin: "https://example.com", Purpose: "deploy",
		Decision: audit.DecisionAllow, Policies: []string{"default-use", "local"}, Result: audit.ResultOK,
		UserPresent: true, TookUS: 812345,
	}
}

// open opens a log that is closed with the test, without waiting for the disk.
func open(t testing.TB, config audit.Config) *audit.Log {
	t.Helper()
	if config.Sync == "" {
		config.Sync = audit.SyncNever
	}
	l, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t testing.TB, l *audit.Log, r audit.Record) {
	t.Helper()
	if err := l.Append(t.Context(), &r, false); err != nil {
		t.Fatal(err)
	}
}

// fill appends n records with details from to from+n-1.
func fill(t testing.TB, l *audit.Log, from, n int) {
	t.Helper()
	for i := range n {
		r := touch()
		r.Detail = fmt.Sprint(from + i)
		add(t, l, r)
	}
}

// read gives the lines of a log that a query chooses.
func read(t testing.TB, dir string, q audit.Query) []audit.Entry {
	t.Helper()
	var entries []audit.Entry
	for e, err := range audit.Read(t.Context(), os.DirFS(dir), q) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// details gives the details of the lines of one operation.
func details(t testing.TB, dir, operation string) []string {
	t.Helper()
	var list []string
	for _, e := range read(t, dir, audit.Query{Operation: operation}) {
		list = append(list, e.Detail)
	}
	return list
}

func counted(from, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(from+i))
	}
	return list
}

// whole verifies a log that has to be whole.
func whole(t testing.TB, dir string, heads ...audit.Head) audit.Report {
	t.Helper()
	report, err := audit.Verify(t.Context(), os.DirFS(dir), heads...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "audit-*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		list[i] = filepath.Base(list[i])
	}
	return list
}
