package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/api"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Schlüssel 鍵":       "Schlüssel 鍵",
		"a\x1b[2Jb":         "a\ufffd[2Jb",
		"a\nb\tc\rd":        "a\ufffdb\ufffdc\ufffdd",
		"a\u009b2Jb":        "a\ufffd2Jb",
		"abc\u202egpj.exe":  "abc\ufffdgpj.exe",
		"a\xffb":            "a\ufffdb",
		"zero\u200bwidth":   "zero\ufffdwidth",
		"line\u2028divider": "line\ufffddivider",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzOutputIsSafe(f *testing.F) {
	for _, s := range []string{"", "abc", "\x1b[31m", "\u009b", "\U000e0001", "<&>", "\xff\xfe", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range clean(s) {
			if !unicode.IsPrint(r) {
				t.Fatalf("clean(%q) lets %U through", s, r)
			}
		}
		line, err := jsonLine(s, "")
		if err != nil {
			t.Fatal(err)
		}
		text, ended := strings.CutSuffix(string(line), "\n")
		if !ended {
			t.Fatalf("jsonLine(%q) = %q, want a line", s, line)
		}
		for _, r := range text {
			if !unicode.IsPrint(r) {
				t.Fatalf("jsonLine(%q) lets %U through", s, r)
			}
		}
		var back string
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("jsonLine(%q) is no JSON: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); strings.ToValidUTF8(back, "\ufffd") != back || len([]rune(back)) < len([]rune(want)) {
			t.Fatalf("jsonLine(%q) means %q, want %q", s, back, want)
		}
	})
}

func TestTableAlignsAndCleans(t *testing.T) {
	var b bytes.Buffer
	if err := table(&b, row{"KEY", "NAME"}, row{"a-long-id", "x\x1b]0;evil\x07"}, row{"b", "tab\there"}); err != nil {
		t.Fatal(err)
	}
	want := "KEY        NAME\na-long-id  x\ufffd]0;evil\ufffd\nb          tab\ufffdhere\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestFailures(t *testing.T) {
	two, one := uint(2), uint(1)
	for _, test := range []struct {
		name string
		err  *api.Error
		want string
	}{
		{"message and hint", &api.Error{Code: api.CodeNoKey, Message: "no key is attached", Hint: "put one in"}, "fob: no key is attached\nhint: put one in\n"},
		{"retries without a hint", &api.Error{Code: api.CodePINInvalid, Message: "wrong PIN", Retries: &two}, "fob: wrong PIN\nhint: 2 tries are left\n"},
		{"one retry", &api.Error{Code: api.CodePINInvalid, Message: "wrong PIN", Retries: &one}, "fob: wrong PIN\nhint: 1 try is left\n"},
		{"hint before retries", &api.Error{Code: api.CodePINInvalid, Message: "wrong PIN", Retries: &two, Hint: "careful"}, "fob: wrong PIN\nhint: careful\n"},
		{"holder", &api.Error{Code: api.CodeBusy, Message: "busy", Holder: &api.Holder{Program: "ssh", PID: 7}}, "fob: busy (taken by ssh, process 7)\n"},
		{"holder is in the message", &api.Error{Code: api.CodeBusy, Message: "ssh has it", Holder: &api.Holder{Program: "ssh", PID: 7}}, "fob: ssh has it\n"},
		{"no message", &api.Error{Code: api.CodeInternal}, "fob: internal\n"},
		{"hostile", &api.Error{Code: api.CodeKeyError, Message: "key \x1b[2J says\nno", Hint: "\a"}, "fob: key \ufffd[2J says\ufffdno\nhint: \ufffd\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			f.answers[api.OpList] = test.err
			got := f.fob(t, "", "list")
			if got.err != test.want || got.out != "" || got.status != exits[test.err.Code] {
				t.Errorf("got status %d, out %q, err %q, want err %q", got.status, got.out, got.err, test.want)
			}
		})
	}
}

func TestJSONIsTheWholeAnswer(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpList] = api.ListResult{Keys: []api.Key{{ID: "usb-1-2", Name: "evil \u009b31m", VendorID: 1}}}
	got := f.fob(t, "", "list", "--json")
	want := `{"keys":[{"id":"usb-1-2","name":"evil \u009b31m","vendorId":1,"productId":0,"emulated":false}]}` + "\n"
	if got.out != want || got.err != "" || got.status != 0 {
		t.Errorf("got %+v, want out %q", got, want)
	}
}

// A token whose driver nobody has tried with a device is told to be one.
func TestUnseenTokens(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpAccountList] = api.AccountListResult{Tokens: []api.AccountToken{
		{Key: "a", KeyName: "Nitrokey Pro", Way: "nitrokey-pro", Protection: "pin", Unseen: true}, {Key: "b", KeyName: "YubiKey", Way: "oath", Protection: "code"},
	}}
	got := f.fob(t, "", "accounts", "list")
	want := "fob: Nitrokey Pro has 0 accounts, and a PIN; fobd's part for its kind was written from the protocol, and has not yet seen a device\n" +
		"fob: YubiKey has 0 accounts, behind an access code\n"
	if got.err != want || got.out != "" || got.status != 0 {
		t.Errorf("got %+v, want err %q", got, want)
	}
}

func TestListShowsACardWithoutUSBNumbers(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpList] = api.ListResult{Keys: []api.Key{{ID: "card-x", Name: "x", Interfaces: []string{"card"}}, {ID: "usb-1", Name: "y", VendorID: 0x1050, ProductID: 0x407}}}
	if got := f.fob(t, "", "list"); !strings.Contains(got.out, "\ncard-x  x     -          -     card") || !strings.Contains(got.out, "\nusb-1   y     1050:0407  -     -") {
		t.Errorf("got\n%s", got.out)
	}
}
