package audit_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/audit"
)

// The format is fixed: a program that was written for it must be able to rely on every byte.
func TestLineIsWrittenAsDocumented(t *testing.T) {
	const want = `{"seq":8,"time":"2026-05-01T08:00:00.5Z","operation":"touch","scope":"use","user":"ann","uid":1000,"pid":4242,` +
		`"program":"fob","exe":"/usr/bin/fob","app":"app-fob.scope","session":"3","frontEnd":"socket","key":"usb-1-2","serial":"0815",` +
		`"aaguid":"ee882879-721c-4913-9775-3dfcce97072a","rpId":"example.com","origin":"https://example.com","purpose":"deploy",` +
		`"decision":"allow","policies":["default-use","local"],"result":"ok","userPresent":true,"tookUs":812345,` +
		`"prev":"0100000000000000000000000000000000000000000000000000000000000000",` +
		`"hash":"370a60eb8af383b7a07b7bd9c001c4db0621c3dd9b6384e245c7a1888ccd3958"}` + "\n"
	line, head, err := audit.AppendLine(audit.Head{Seq: 7, Hash: audit.Hash{1}}, touch())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(line)); diff != "" {
		t.Error(diff)
	}
	if got := head.String(); got != "8:"+string(line[len(line)-67:len(line)-3]) {
		t.Errorf("got head %s", got)
	}
}

// everything is a record in which no member is empty.
func everything(t testing.TB) audit.Record {
	t.Helper()
	var r audit.Record
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		switch field := v.Field(i); field.Interface().(type) {
		case time.Time:
			field.Set(reflect.ValueOf(moment))
		case string:
			field.SetString("text of " + v.Type().Field(i).Name)
		case *uint32:
			field.Set(reflect.ValueOf(new(uint32)))
		case []string:
			field.Set(reflect.ValueOf([]string{"one", "", "three"}))
		case bool:
			field.SetBool(true)
		case int, int64:
			field.SetInt(int64(i + 1))
		default:
			t.Fatalf("nothing to put into %s", v.Type().Field(i).Name)
		}
	}
	return r
}

func TestEveryMemberIsWrittenUnderItsJSONName(t *testing.T) {
	want := everything(t)
	line, _, err := audit.AppendLine(audit.Head{}, want)
	if err != nil {
		t.Fatal(err)
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	var byJSON audit.Entry
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&byJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, byJSON.Record); diff != "" {
		t.Errorf("by encoding/json: %s", diff)
	}
	got, err := audit.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byJSON, got); diff != "" {
		t.Error(diff)
	}
	again, err := json.Marshal(got)
	if err != nil || string(again) != string(line) {
		t.Errorf("got %s, %v\nwant %s", again, err, line)
	}
}

func TestTextsAreMadeHarmless(t *testing.T) {
	for text, want := range map[string]string{
		`say "a\b"`:                 `"say \"a\\b\""`,
		"line\n\ttab\x00\x7f":       `"line\u000a\u0009tab\u0000\u007f"`,
		"\x1b[31mred\u009b0m":       `"\u001b[31mred\u009b0m"`,
		"\u202egnp.exe\u2066":       `"\u202egnp.exe\u2066"`,
		"a\u2028b\ufeff\u200b":      `"a\u2028b\ufeff\u200b"`,
		"käse 鍵 🔑":                  `"käse 鍵 🔑"`,
		"bad \xff\xfe byte":         `"bad � byte"`,
		"\xed\xa0\x80":              `"�"`,
		strings.Repeat("x", 4096):   `"` + strings.Repeat("x", 4096) + `"`,
		strings.Repeat("x", 4097):   `"` + strings.Repeat("x", 4093) + `…"`,
		strings.Repeat("ä", 2049):   `"` + strings.Repeat("ä", 2046) + `…"`,
		strings.Repeat("\xff", 9e5): `"�…"`,
	} {
		line, _, err := audit.AppendLine(audit.Head{}, audit.Record{Time: moment, Operation: "touch", Detail: text})
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ := bytes.Cut(line, []byte(`"detail":`))
		got, _, _ = bytes.Cut(got, []byte(`,"prev"`))
		if string(got) != want {
			t.Errorf("%.40q: got %.80s, want %.80s", text, got, want)
		}
	}
}

func TestLargestRecordFitsIntoALine(t *testing.T) {
	r := everything(t)
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.String {
			field.SetString(strings.Repeat("\x01", 1e5))
		}
	}
	r.Policies = slices.Repeat([]string{strings.Repeat("\x01", 1e5)}, 1000)
	line, _, err := audit.AppendLine(audit.Head{Seq: 1<<64 - 2}, r)
	if err != nil {
		t.Fatal(err)
	}
	if len(line) > audit.MaxLine {
		t.Errorf("got %d bytes, want %d at most", len(line), audit.MaxLine)
	}
	got, err := audit.ParseLine(line[:len(line)-1])
	if err != nil || len(got.Policies) != 64 || got.Policies[63] != "…" {
		t.Errorf("got %d policies, %v", len(got.Policies), err)
	}
	// All of it gets through the log, too.
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10})
	for range 3 {
		add(t, l, r)
	}
	if report := whole(t, dir, l.Head()); report.Lines < 6 {
		t.Errorf("got %d lines", report.Lines)
	}
}

func TestHeadsAreReadBack(t *testing.T) {
	want := audit.Head{Seq: 1<<64 - 1, Hash: audit.Hash{1, 2, 0xFF}}
	got, err := audit.ParseHead(want.String())
	if err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	hash := want.Hash.String()
	for _, bad := range []string{"", "1", ":" + hash, "1:" + hash[1:], "01:" + hash, "-1:" + hash, "1:" + strings.ToUpper(hash), "18446744073709551616:" + hash} {
		if _, err := audit.ParseHead(bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got = audit.Head{}
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("got %v, %v from %s", got, err, text)
	}
}

// FuzzRecord writes any texts and reads them back.
func FuzzRecord(f *testing.F) {
	f.Add("touch", "ann\n", "\xff", "\u202e🔑\"\\", int64(1), uint32(0), true)
	f.Fuzz(func(t *testing.T, operation, user, policy, detail string, number int64, id uint32, flag bool) {
		if operation == "" {
			return
		}
		r := audit.Record{
			Time: time.Unix(number%200_000_000_000, number%1_000_000_000), Operation: operation, User: user, UID: &id, PID: int(number), Emulated: flag,
			Policies: []string{policy, policy + detail}, Detail: detail, TookUS: number,
		}
		line, head, err := audit.AppendLine(audit.Head{Seq: uint64(id)}, r)
		if err != nil {
			return // a year that RFC 3339 does not have
		}
		got, err := audit.ParseLine(line[:len(line)-1])
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		again, other, err := audit.AppendLine(audit.Head{Seq: uint64(id)}, got.Record)
		if err != nil || other != head || !bytes.Equal(again, line) {
			t.Fatalf("got %s, %v\nwant %s", again, err, line)
		}
		if !json.Valid(line) || !got.Time.Equal(r.Time) || utf8.ValidString(user) && len(user) <= 256 && got.User != user {
			t.Errorf("got %+v, want %+v", got.Record, r)
		}
	})
}

// FuzzLine reads any line. One that it takes is as the log writes it.
func FuzzLine(f *testing.F) {
	line, _, err := audit.AppendLine(audit.Head{Seq: 7}, everything(f))
	if err != nil {
		f.Fatal(err)
	}
	_, members, _ := bytes.Cut(line, []byte(`{"seq":8`))
	members, _, _ = bytes.Cut(members, []byte(`,"prev"`))
	f.Add(members)
	f.Add([]byte(`,"time":"2026-05-01T08:00:00Z","operation":"x","uid":4294967295,"policies":["a","b"],"detail":"\u001b\"\\"`))
	f.Fuzz(func(t *testing.T, members []byte) {
		// With a correct hash, so that the members are looked at.
		line, _ := audit.Seal(audit.Head{Seq: 7}, members)
		got, err := audit.ParseLine(line[:len(line)-1])
		if err != nil {
			return
		}
		// They may begin with more digits of the number.
		again, _, err := audit.AppendLine(audit.Head{Seq: got.Seq - 1}, got.Record)
		if err != nil || !bytes.Equal(again, line) {
			t.Fatalf("took %s\nwhich is written %s, %v", line, again, err)
		}
	})
}

// FuzzVerify changes a log somehow. Nothing but the log itself verifies.
func FuzzVerify(f *testing.F) {
	good, heads := sample(f)
	data := good[second].Data
	f.Add(uint16(0), uint16(0), []byte(nil))
	f.Add(uint16(700), uint16(1), []byte("x"))
	f.Add(uint16(len(data)), uint16(0), []byte("\n"))
	line := bytes.IndexByte(data, '\n') + 1
	f.Add(uint16(0), uint16(line), []byte(nil))
	f.Add(uint16(line), uint16(0), data[:line])
	f.Fuzz(func(t *testing.T, at, remove uint16, insert []byte) {
		for _, name := range []string{second, third} {
			log := map[string][]byte{}
			for n, file := range good {
				log[n] = file.Data
			}
			data := log[name]
			from := min(int(at), len(data))
			to := min(from+int(remove), len(data))
			log[name] = slices.Concat(data[:from], insert, data[to:])
			_, err := audit.Verify(t.Context(), memory(log), heads...)
			same := bytes.Equal(log[name], data)
			if name == third && bytes.HasPrefix(log[name], data) && !bytes.Contains(log[name][len(data):], []byte("\n")) {
				same = true // the beginning of a line
			}
			if same != (err == nil) {
				t.Errorf("%s: got %v for %d bytes at %d replaced by %q", name, err, to-from, from, insert)
			}
			for e, err := range audit.Read(t.Context(), memory(log), audit.Query{}) {
				if err == nil && e.Operation == "" {
					t.Error("got a line without operation")
				}
			}
		}
	})
}
