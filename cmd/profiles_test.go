package cmd_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// profilesDoc is the table of what each profile of the emulated key says of itself.
const profilesDoc = "../docs/profiles.md"

// The table is what the keys say. FOBD_UPDATE=1 writes it anew.
func TestProfilesTableIsTrue(t *testing.T) {
	got := profilesTable(t)
	if os.Getenv("FOBD_UPDATE") != "" {
		if err := os.WriteFile(profilesDoc, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(profilesDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the profiles say; FOBD_UPDATE=1 go test ./cmd -run Profiles writes it", profilesDoc)
	}
}

func profilesTable(t *testing.T) []byte {
	t.Helper()
	var infos []*ctap2.Info
	var names []string
	for _, p := range softkey.Profiles() {
		a, err := softkey.New(softkey.Config{Profile: p})
		if err != nil {
			t.Fatal(err)
		}
		info := new(ctap2.Info) // of a key that speaks CTAP1 only
		if p == softkey.ProfileU2F {
			info.Versions = []string{ctap2.VersionU2F}
		} else {
			info = a.Info()
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		infos, names = append(infos, info), append(names, "`"+string(p)+"`")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Profiles of the emulated key

What a fresh key of each profile says of itself (CTAP 2.3, section 6.4): "yes" and "no" are options that are
there and true or false, "-" is what a key does not have. A test writes this table from the keys themselves.

| | %s |
|---|%s
`, strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	row := func(name string, cell func(i *ctap2.Info) string) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, info := range infos {
			text := cell(info)
			if text == "" {
				text = "-"
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		fmt.Fprintln(&b)
	}
	// listed makes a row for each name that any profile has.
	listed := func(kind string, of func(i *ctap2.Info) []string) {
		var all []string
		for _, info := range infos {
			for _, name := range of(info) {
				if !slices.Contains(all, name) {
					all = append(all, name)
				}
			}
		}
		for _, name := range all {
			row(kind+" `"+name+"`", func(i *ctap2.Info) string { return mark(slices.Contains(of(i), name)) })
		}
	}
	listed("version", func(i *ctap2.Info) []string { return i.Versions })
	var options []string
	for _, info := range infos {
		for name := range info.Options {
			options = append(options, name)
		}
	}
	slices.Sort(options)
	for _, name := range slices.Compact(options) {
		row("option `"+name+"`", func(i *ctap2.Info) string {
			value, there := i.Option(name)
			if !there {
				return ""
			}
			return map[bool]string{true: "yes", false: "no"}[value]
		})
	}
	listed("extension", func(i *ctap2.Info) []string { return i.Extensions })
	listed("algorithm", func(i *ctap2.Info) (list []string) {
		for _, a := range i.Algorithms {
			list = append(list, a.Alg.String())
		}
		return list
	})
	listed("attestation format", func(i *ctap2.Info) []string { return i.AttestationFormats })
	number := func(n uint) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	pointer := func(n *uint) string {
		if n == nil {
			return ""
		}
		return fmt.Sprint(*n)
	}
	truth := func(v *bool) string {
		if v == nil {
			return ""
		}
		return map[bool]string{true: "yes", false: "no"}[*v]
	}
	row("PIN/UV auth protocols", func(i *ctap2.Info) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(i.PINUVAuthProtocols), " ", ", "), "[]")
	})
	row("maxMsgSize", func(i *ctap2.Info) string { return number(i.MaxMsgSize) })
	row("maxCredentialCountInList", func(i *ctap2.Info) string { return number(i.MaxCredentialCountInList) })
	row("maxCredentialIdLength", func(i *ctap2.Info) string { return number(i.MaxCredentialIDLength) })
	row("maxSerializedLargeBlobArray", func(i *ctap2.Info) string { return number(i.MaxSerializedLargeBlobArray) })
	row("maxCredBlobLength", func(i *ctap2.Info) string { return number(i.MaxCredBlobLength) })
	row("maxRPIDsForSetMinPINLength", func(i *ctap2.Info) string { return pointer(i.MaxRPIDsForSetMinPINLength) })
	row("minPINLength", func(i *ctap2.Info) string { return number(i.MinPINLength) })
	row("maxPINLength", func(i *ctap2.Info) string { return number(i.MaxPINLength) })
	row("forcePINChange", func(i *ctap2.Info) string { return truth(i.ForcePINChange) })
	row("pinComplexityPolicy", func(i *ctap2.Info) string { return truth(i.PINComplexityPolicy) })
	row("longTouchForReset", func(i *ctap2.Info) string { return truth(i.LongTouchForReset) })
	row("preferredPlatformUvAttempts", func(i *ctap2.Info) string { return number(i.PreferredPlatformUVAttempts) })
	row("uvModality", func(i *ctap2.Info) string { return number(i.UVModality) })
	row("remainingDiscoverableCredentials", func(i *ctap2.Info) string { return pointer(i.RemainingDiscoverableCredentials) })
	row("transports", func(i *ctap2.Info) string { return strings.Join(i.Transports, ", ") })
	row("transportsForReset", func(i *ctap2.Info) string { return strings.Join(i.TransportsForReset, ", ") })
	row("certifications", func(i *ctap2.Info) string {
		var list []string
		for _, name := range slices.Sorted(maps.Keys(i.Certifications)) {
			list = append(list, fmt.Sprint(name, " ", i.Certifications[name]))
		}
		return strings.Join(list, ", ")
	})
	row("firmwareVersion", func(i *ctap2.Info) string { return number(i.FirmwareVersion) })
	row("authenticatorConfigCommands", func(i *ctap2.Info) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(i.AuthenticatorConfigCommands), " ", ", "), "[]")
	})
	return b.Bytes()
}

func mark(there bool) string {
	if there {
		return "yes"
	}
	return ""
}
