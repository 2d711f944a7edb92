package daemon_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestConfigShow(t *testing.T) {
	want := map[softkey.Profile]string{
		softkey.ProfileU2F:       "[]",
		softkey.ProfileMinimal:   "[]",
		softkey.ProfileFIDO20:    "[]",
		softkey.ProfileFIDO21:    "[enterprise-attestation always-uv min-pin]",
		softkey.ProfileFIDO23:    "[enterprise-attestation always-uv min-pin long-touch-reset]",
		softkey.ProfileFIDO23Bio: "[enterprise-attestation always-uv min-pin long-touch-reset]",
	}
	for _, profile := range softkey.Profiles() {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.soft("k1", softkey.Config{Profile: profile, CTAP1Only: profile == softkey.ProfileU2F})
				got := must[api.ConfigResult](l, api.OpConfigShow, api.ConfigRequest{}, nil)
				if fmt.Sprint(got.Commands) != want[profile] || got.Commands == nil {
					t.Errorf("got %v, want %s", got.Commands, want[profile])
				}
				if modern := strings.HasPrefix(string(profile), "fido2.3"); modern != (got.PINComplexityPolicy != nil) || modern != (got.LongTouchForReset != nil) {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

func TestConfig(t *testing.T) {
	for _, pin := range []bool{true, false} {
		t.Run(fmt.Sprintf("pin=%v", pin), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				a := l.soft("k1", softkey.Config{})
				p := always()
				if pin {
					must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
				}
				asked := func(want ...string) {
					t.Helper()
					var got []string
					for _, prompt := range p.seen {
						if prompt.Kind == api.PromptConfirm {
							got = append(got, prompt.Message)
						}
					}
					if len(got) != 1 {
						t.Fatalf("asked %q, want once", got)
					}
					for _, part := range append(want, "Only a reset", "k1") {
						if !strings.Contains(got[0], part) {
							t.Errorf("asked %q, want %q in it", got[0], part)
						}
					}
					p.seen = nil
				}
				p.seen = nil

				p.refuses = true
				l.fails(api.OpConfigEnterprise, api.ConfigEnterpriseRequest{}, p, api.CodeDenied)
				asked("which single key")
				l.fails(api.OpConfigEnterprise, api.ConfigEnterpriseRequest{}, nil, api.CodeDenied)
				if on := a.Info().Options[ctap2.OptionEnterprise]; on {
					t.Error("on after a no")
				}
				p.refuses = false
				if got := must[api.ConfigResult](l, api.OpConfigEnterprise, api.ConfigEnterpriseRequest{}, p); !*got.EnterpriseAttestation {
					t.Errorf("got %+v", got)
				}
				asked("which single key")
				// It is so already.
				must[api.ConfigResult](l, api.OpConfigEnterprise, api.ConfigEnterpriseRequest{}, nil)

				if got := must[api.ConfigResult](l, api.OpConfigLongTouch, api.ConfigLongTouchRequest{}, p); !*got.LongTouchForReset {
					t.Errorf("got %+v", got)
				}
				asked("long touch")

				eight, three, many := uint(8), uint(3), uint(64)
				if got := must[api.ConfigResult](l, api.OpConfigMinPIN, api.ConfigMinPINRequest{MinLength: &eight, RPIDs: []string{"example.org"}}, p); got.MinPINLength != 8 {
					t.Errorf("got %+v", got)
				}
				asked("at least 8 characters")
				l.fails(api.OpConfigMinPIN, api.ConfigMinPINRequest{MinLength: &three}, p, api.CodePINPolicy)
				l.fails(api.OpConfigMinPIN, api.ConfigMinPINRequest{MinLength: &many}, p, api.CodePINPolicy)
				l.fails(api.OpConfigMinPIN, api.ConfigMinPINRequest{}, p, api.CodeInvalidRequest)
				l.fails(api.OpConfigMinPIN, api.ConfigMinPINRequest{RPIDs: slices.Repeat([]string{"example.org"}, 100)}, p, api.CodeTooLarge)
				l.fails(api.OpConfigVendor, api.ConfigVendorRequest{Command: 7}, p, api.CodeUnsupported)
				if !pin {
					l.fails(api.OpConfigMinPIN, api.ConfigMinPINRequest{ForceChange: true}, p, api.CodePINNotSet)
				} else {
					// The PIN of four characters is too short now.
					status := must[api.PINStatusResult](l, api.OpPINStatus, api.KeyRequest{}, nil)
					if !status.ForceChange || status.MinLength != 8 {
						t.Errorf("got %+v", status)
					}
					p.seen = nil
					e := l.fails(api.OpCredentialList, api.CredentialListRequest{}, p, api.CodePINPolicy)
					if e.Hint != "change it with pin-change" || len(p.seen) != 0 {
						t.Errorf("got %+v after %v", e, p.kinds())
					}
					change := &person{pins: []string{testPIN, "12345678"}}
					must[api.KeyResult](l, api.OpPINChange, api.PINChangeRequest{}, change)
					if got := change.seen[1]; got.MinLength != 8 || got.Kind != api.PromptNewPIN {
						t.Errorf("got %+v", got)
					}
					p.pins = slices.Repeat([]string{"12345678"}, 16)
					must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{}, p)
				}
				p.seen = nil
				if got := must[api.ConfigResult](l, api.OpConfigMinPIN, api.ConfigMinPINRequest{Complexity: true}, p); !*got.PINComplexityPolicy {
					t.Errorf("got %+v", got)
				}
				asked("not too simple")
				if got := must[api.PINStatusResult](l, api.OpPINStatus, api.KeyRequest{}, nil); got.Complexity == nil || !*got.Complexity {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

func TestConfigAlwaysUV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.protected(softkey.Config{LockAlwaysUV: true})
		p := always()
		// There is nothing to do, so nobody is asked.
		must[api.ConfigResult](l, api.OpConfigAlwaysUV, api.ConfigAlwaysUVRequest{On: false}, nil)
		if got := must[api.ConfigResult](l, api.OpConfigAlwaysUV, api.ConfigAlwaysUVRequest{On: true}, p); !*got.AlwaysUV {
			t.Errorf("got %+v", got)
		}
		if !a.Info().Options[ctap2.OptionAlwaysUV] {
			t.Error("off")
		}
		r := l.registers(creation("alice", `"userVerification":"discouraged"`, ``), p)
		if r.data.Flags&ctap2.FlagUV == 0 {
			t.Error("not verified")
		}
		l.fails(api.OpConfigAlwaysUV, api.ConfigAlwaysUVRequest{On: false}, p, api.CodeUnsupported)
	})
}

func TestConfigVendor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		var got [][]byte
		l.protected(softkey.Config{VendorCommands: map[uint64]func([]byte) error{0xF00D: func(data []byte) error {
			got = append(got, data)
			return nil
		}}})
		p := always()
		result := must[api.ConfigResult](l, api.OpConfigVendor, api.ConfigVendorRequest{Command: 0xF00D, Data: api.Bytes{0x82, 1, 2}}, p)
		if len(got) != 1 || !bytes.Equal(got[0], []byte{0x82, 1, 2}) || !slices.Equal(result.VendorCommands, []uint64{0xF00D}) {
			t.Errorf("the key got %x, and we %+v", got, result)
		}
		if !strings.Contains(p.seen[0].Message, "0xf00d") {
			t.Errorf("asked %q", p.seen[0].Message)
		}
		must[api.ConfigResult](l, api.OpConfigVendor, api.ConfigVendorRequest{Command: 0xF00D}, p)
		l.fails(api.OpConfigVendor, api.ConfigVendorRequest{Command: 0xF00E}, p, api.CodeUnsupported)
		l.fails(api.OpConfigVendor, api.ConfigVendorRequest{Command: 0xF00D, Data: api.Bytes{0x82, 1}}, p, api.CodeInvalidRequest)
	})
}

func TestConfigIdentify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.protected(softkey.Config{})
		p := always()
		if got := must[api.ConfigResult](l, api.OpConfigShow, api.ConfigRequest{}, nil); got.Identifier != nil {
			t.Errorf("told %+v to nobody", got)
		}
		one := must[api.ConfigResult](l, api.OpConfigIdentify, api.ConfigIdentifyRequest{}, p)
		two := must[api.ConfigResult](l, api.OpConfigIdentify, api.ConfigIdentifyRequest{}, p)
		if len(one.Identifier) != 16 || !bytes.Equal(one.Identifier, two.Identifier) || len(one.CredentialStore) != 16 || !bytes.Equal(one.CredentialStore, two.CredentialStore) {
			t.Errorf("got %+v, then %+v", one, two)
		}
		l.registers(creation("alice", `"residentKey":"required"`, ``), p)
		three := must[api.ConfigResult](l, api.OpConfigIdentify, api.ConfigIdentifyRequest{}, p)
		if !bytes.Equal(one.Identifier, three.Identifier) || bytes.Equal(one.CredentialStore, three.CredentialStore) {
			t.Errorf("got %+v after a new credential, before %+v", three, one)
		}
	})
}
