// Package cmd_test holds the import graph of the whole module to the design: which
// room may know which, and which room owns which third-party module.
package cmd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fobd/fobd/"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// list runs go list with dependencies known, tests left out.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// in says whether path is the package or folder tree, inside the module.
func in(path, tree string) bool {
	path = strings.TrimPrefix(path, module)
	return path == tree || strings.HasPrefix(path, tree+"/")
}

func inAny(path string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return in(path, tree) })
}

func TestRoomsKnowOnlyWhatTheyMay(t *testing.T) {
	rules := []struct {
		name     string
		who      []string // packages the rule is about
		but      []string // packages it is not about
		never    []string // folders of ours, "=" and one package, or import paths, that they may not reach
		directly bool     // look at imports, not at all dependencies
	}{
		{name: "a message knows no transport", who: []string{"ctap2", "u2f"}, never: []string{"hid", "tokens", "daemon", "cmd"}},
		{name: "a packet does not know what it carries", who: []string{"hid"}, never: []string{"ctap2", "u2f", "tokens", "daemon", "cmd"}},
		{name: "the softkey takes and gives messages", who: []string{"tokens/softkey"}, never: []string{"hid", "daemon", "cmd"}},
		{name: "tokens know no daemon", who: []string{"tokens"}, never: []string{"daemon", "cmd"}},
		{
			name: "the engine knows no front end", who: []string{"daemon"},
			but:   []string{"daemon/httpapi", "daemon/dbusapi", "daemon/client", "daemon/relyingparty", "daemon/metrics"},
			never: []string{"daemon/httpapi", "daemon/dbusapi", "daemon/client", "daemon/relyingparty", "daemon/metrics", "github.com/godbus/dbus/v5"},
		},
		{
			// Directly: the public suffix list comes with a face for net/http's cookies.
			name: "the engine speaks no HTTP", who: []string{"daemon"}, directly: true,
			but:   []string{"daemon/httpapi", "daemon/dbusapi", "daemon/client", "daemon/relyingparty", "daemon/metrics"},
			never: []string{"net/http"},
		},
		{
			name: "a front end knows no other one and no key", who: []string{"daemon/httpapi"}, directly: true,
			never: []string{"daemon/dbusapi", "daemon/client", "ctap2", "hid", "tokens"},
		},
		{
			name: "D-Bus knows no other front end and no key", who: []string{"daemon/dbusapi"}, directly: true,
			never: []string{"daemon/httpapi", "daemon/client", "ctap2", "hid", "tokens"},
		},
		{name: "the client knows the interface only", who: []string{"daemon/client"}, never: []string{"ctap2", "u2f", "hid", "tokens", "cmd", "=daemon", "daemon/policy", "daemon/httpapi"}},
		{name: "fob is a client of the socket", who: []string{"cmd/fob"}, never: []string{"ctap2", "u2f", "hid", "tokens", "=daemon", "daemon/policy", "daemon/httpapi", "daemon/config"}},
	}
	pkgs := list(t)
	for _, rule := range rules {
		t.Run(strings.ReplaceAll(rule.name, " ", "-"), func(t *testing.T) {
			seen := false
			for _, p := range pkgs {
				if !inAny(p.ImportPath, rule.who) || inAny(p.ImportPath, rule.but) {
					continue
				}
				seen = true
				reach := p.Deps
				if rule.directly {
					reach = p.Imports
				}
				for _, dep := range reach {
					ours := strings.HasPrefix(dep, module)
					for _, bad := range rule.never {
						exact, only := strings.CutPrefix(bad, "=")
						if ours && !only && in(dep, bad) || dep == bad || only && dep == module+exact {
							t.Errorf("%s reaches %s: %s", p.ImportPath, dep, rule.name)
						}
					}
				}
			}
			if !seen {
				t.Errorf("no package for the rule %q", rule.name)
			}
		})
	}
}

func TestNeedsNoMoreThanTheStandardLibrary(t *testing.T) {
	for _, p := range list(t) {
		if !in(p.ImportPath, "daemon/api") {
			continue
		}
		for _, dep := range p.Deps {
			if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") {
				t.Errorf("%s reaches %s, want the standard library only", p.ImportPath, dep)
			}
		}
		return
	}
	t.Error("daemon/api is not there")
}

// karalabe/hid brings C code under another licence, so on Linux only a tag brings it.
func TestDefaultBuildOnLinuxIsPureGo(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has the hidraw backend")
	}
	for _, p := range list(t) {
		if in(p.ImportPath, "cmd") && slices.Contains(p.Deps, "github.com/karalabe/hid") {
			t.Errorf("%s reaches karalabe/hid without the tag libusb", p.ImportPath)
		}
	}
}

func TestOneRoomOwnsAModule(t *testing.T) {
	owners := map[string][]string{
		"github.com/fxamacker/cbor/v2":         {"ctap2"},
		"github.com/karalabe/hid":              {"hid"},
		"github.com/go-webauthn/webauthn":      {"daemon/relyingparty"},
		"github.com/godbus/dbus/v5":            {"daemon/dbusapi", "cmd/internal/notify"},
		"github.com/getkin/kin-openapi":        {"daemon/httpapi"},
		"github.com/pelletier/go-toml/v2":      {"daemon/config"},
		"github.com/prometheus/client_golang":  {"daemon/metrics"},
		"github.com/cedar-policy/cedar-go":     {"daemon/policy"},
		"github.com/coreos/go-systemd/v22":     {"cmd/fobd"},
		"github.com/spf13/cobra":               {"cmd"},
		"golang.org/x/net":                     {"daemon/webauthn"},
		"github.com/landlock-lsm/go-landlock":  {"cmd/internal/sandbox"},
		"github.com/elastic/go-seccomp-bpf":    {"cmd/internal/sandbox"},
		"kernel.org/pub/linux/libs/security":   {"cmd/fobd"},
		"golang.org/x/crypto/chacha20poly1305": {"tokens/softkey", "daemon/registry", "cmd/internal/aws"},
		"github.com/aws/aws-sdk-go-v2":         {"cmd/internal/aws"},
		"github.com/aws/smithy-go":             {"cmd/internal/aws"},
		"github.com/golang-jwt/jwt/v5":         {"daemon/statement"},
		"github.com/google/uuid":               {"daemon/relyingparty", "daemon/config"},
		"modernc.org/sqlite":                   {"daemon/store"},
		"github.com/jackc/pgx/v5":              {"daemon/store"},
		"github.com/pressly/goose/v3":          {"daemon/store"},
		"github.com/makiuchi-d/gozxing":        {"tokens/seedfile"},
		"rsc.io/qr":                            {"tokens/seedfile"},
	}
	for _, p := range list(t) {
		for _, dep := range p.Imports {
			for mod, rooms := range owners {
				if (dep == mod || strings.HasPrefix(dep, mod+"/")) && !inAny(p.ImportPath, rooms) {
					t.Errorf("%s imports %s, which belongs to %v", p.ImportPath, dep, rooms)
				}
			}
		}
	}
}
