package webauthn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/webauthn"
)

func TestParseOrigin(t *testing.T) {
	for origin, want := range map[string]string{
		"https://example.org":                          "example.org",
		"https://login.example.org":                    "login.example.org",
		"https://example.org:8443":                     "example.org",
		"http://localhost":                             "localhost",
		"http://localhost:8080":                        "localhost",
		"http://app.localhost:8080":                    "app.localhost",
		"https://localhost":                            "localhost",
		"https://xn--bcher-kva.example":                "xn--bcher-kva.example",
		"https://a_b.example":                          "a_b.example",
		"http://example.org":                           "",
		"https://example.org/":                         "",
		"https://example.org/path":                     "",
		"https://example.org?q":                        "",
		"https://example.org#f":                        "",
		"https://user@example.org":                     "",
		"https://Example.org":                          "",
		"HTTPS://example.org":                          "",
		"https://example.org:443":                      "",
		"http://localhost:80":                          "",
		"https://example.org:":                         "",
		"https://example.org:0443":                     "",
		"https://example.org:99999":                    "",
		"https://192.0.2.1":                            "",
		"https://[2001:db8::1]":                        "",
		"https://192.0.2":                              "",
		"https://bücher.example":                       "",
		"https://example.org.":                         "",
		"https://.example.org":                         "",
		"https://exa mple.org":                         "",
		"https://-a.example":                           "",
		"https://":                                     "",
		"example.org":                                  "",
		"null":                                         "",
		"":                                             "",
		"android:apk-key-hash:abc":                     "",
		"https://" + strings.Repeat("a.", 200) + "org": "",
	} {
		got, err := webauthn.ParseOrigin(origin)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v, want %q", origin, got, err, want)
		}
		if err != nil && !errors.Is(err, webauthn.ErrOrigin) {
			t.Errorf("%q: got %v, want ErrOrigin", origin, err)
		}
	}
}

func TestRPID(t *testing.T) {
	for _, test := range []struct{ domain, rpID, want string }{
		{"example.org", "", "example.org"},
		{"example.org", "example.org", "example.org"},
		{"login.example.org", "example.org", "example.org"},
		{"a.b.example.org", "b.example.org", "b.example.org"},
		{"localhost", "", "localhost"},
		{"localhost", "localhost", "localhost"},
		{"app.localhost", "localhost", ""}, // no list has it: its parent is everybody's
		{"app.localhost", "", "app.localhost"},
		{"example.co.uk", "example.co.uk", "example.co.uk"},
		{"login.example.co.uk", "example.co.uk", "example.co.uk"},
		{"example.co.uk", "co.uk", ""},
		{"login.example.co.uk", "co.uk", ""},
		{"login.example.co.uk", "uk", ""},
		{"alice.github.io", "github.io", ""},
		{"alice.github.io", "alice.github.io", "alice.github.io"},
		{"github.io", "github.io", "github.io"}, // equal is enough
		{"x.alice.github.io", "alice.github.io", "alice.github.io"},
		{"a.b.c.kawasaki.jp", "c.kawasaki.jp", ""}, // *.kawasaki.jp
		{"a.b.c.kawasaki.jp", "b.c.kawasaki.jp", "b.c.kawasaki.jp"},
		{"x.city.kawasaki.jp", "city.kawasaki.jp", "city.kawasaki.jp"}, // !city.kawasaki.jp
		{"x.city.kawasaki.jp", "kawasaki.jp", ""},
		{"s3.eu.example.unknowntld", "example.unknowntld", "example.unknowntld"},
		{"example.unknowntld", "unknowntld", ""},
		{"intranet", "", "intranet"},
		{"example.org", "org", ""},
		{"example.org", "login.example.org", ""},
		{"example.org", "ample.org", ""},
		{"example.org", "example.com", ""},
		{"example.org", "Example.org", ""},
		{"example.org", ".example.org", ""},
		{"login.example.org", ".example.org", ""},
		{"login.example.org", "example.org.", ""},
		{"example.org", "https://example.org", ""},
		{"example.org", "localhost", ""},
	} {
		got, err := webauthn.RPID(test.domain, test.rpID)
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%q for %q: got %q, %v, want %q", test.rpID, test.domain, got, err, test.want)
		}
		if err != nil && !errors.Is(err, webauthn.ErrRPID) {
			t.Errorf("%q for %q: got %v, want ErrRPID", test.rpID, test.domain, err)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	for _, s := range []string{"https://example.org", "http://localhost:8080", "https://[::1]:1", "https://a.b@c", "x"} {
		f.Add(s, "example.org")
	}
	f.Fuzz(func(t *testing.T, origin, rpID string) {
		domain, err := webauthn.ParseOrigin(origin)
		if err != nil {
			return
		}
		if !strings.Contains(origin, "://"+domain) || strings.ContainsAny(domain, "/:@\\ \"") {
			t.Errorf("%q has domain %q", origin, domain)
		}
		if id, err := webauthn.RPID(domain, rpID); err == nil && id != domain && !strings.HasSuffix(domain, "."+id) {
			t.Errorf("%q may use RP ID %q", origin, id)
		}
	})
}
