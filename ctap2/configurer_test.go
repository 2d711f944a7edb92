package ctap2_test

import (
	"errors"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// configInfo has every subcommand, by the list of CTAP 2.3.
func configInfo() *ctap2.Info {
	return &ctap2.Info{
		Versions:                      []string{"FIDO_2_3"},
		Options:                       map[string]bool{"authnrCfg": true},
		MaxRPIDsForSetMinPINLength:    new(uint(2)),
		VendorPrototypeConfigCommands: []uint64{1 << 63},
		AuthenticatorConfigCommands:   []uint{1, 2, 3, 4, 0xFF},
	}
}

// configCalls has every method.
func configCalls(t *testing.T) map[ctap2.ConfigSubcommand]func(f *ctap2.Configurer) error {
	return map[ctap2.ConfigSubcommand]func(f *ctap2.Configurer) error{
		1: func(f *ctap2.Configurer) error { return f.EnableEnterpriseAttestation(t.Context()) },
		2: func(f *ctap2.Configurer) error { return f.ToggleAlwaysUV(t.Context()) },
		3: func(f *ctap2.Configurer) error {
			return f.SetMinPINLength(t.Context(), ctap2.SetMinPINLengthParams{NewMinPINLength: new(uint(6)), MinPINLengthRPIDs: []string{"a.b", "c.d"}})
		},
		4: func(f *ctap2.Configurer) error { return f.EnableLongTouchForReset(t.Context()) },
		0xFF: func(f *ctap2.Configurer) error {
			return f.VendorPrototype(t.Context(), ctap2.VendorPrototypeParams{VendorCommandID: 1 << 63})
		},
	}
}

func TestConfigurer(t *testing.T) {
	wires := map[ctap2.ConfigSubcommand]string{
		1: "01 01", 2: "01 02", 3: "01 03 02 a2 01 06 02 82 63 612e62 63 632e64", 4: "01 04", 0xFF: "01 18ff 02 a1 01 1b8000000000000000",
	}
	for sub, call := range configCalls(t) {
		for _, token := range []*ctap2.Token{nil, ctap2.NewToken(pinuv.Two, repeat(5, 32))} {
			s := &script{answers: map[byte][][]byte{13: {{0}}}}
			f, err := ctap2.NewClient(s, nil).Configurer(configInfo(), token)
			if err != nil {
				t.Fatal(err)
			}
			if err := call(f); err != nil {
				t.Fatalf("%d: %v", sub, err)
			}
			var r ctap2.ConfigRequest
			if err := ctap2.Unmarshal(s.requests[0][1:], &r); err != nil {
				t.Fatal(err)
			}
			switch {
			case token == nil && (r.PINUVAuthParam != nil || r.PINUVAuthProtocol != 0):
				t.Errorf("%d: pinUvAuthParam without a token", sub)
			case token != nil && !pinuv.Two.Verify(repeat(5, 32), r.Authenticated(), r.PINUVAuthParam):
				t.Errorf("%d: wrong pinUvAuthParam", sub)
			}
			want := unhex(t, wires[sub])
			if got := s.requests[0][2:]; string(got[:len(want)]) != string(want) {
				t.Errorf("%d: %x, want %x", sub, got, want)
			}
		}
	}
}

func TestStatusesOfConfig(t *testing.T) {
	for _, status := range []ctap2.Status{
		ctap2.ErrInvalidCommand, ctap2.ErrInvalidParameter, ctap2.ErrMissingParameter, ctap2.ErrPUATRequired, ctap2.ErrPINAuthInvalid,
		ctap2.ErrUnauthorizedPermission, ctap2.ErrInvalidSubcommand, ctap2.ErrPINPolicyViolation, ctap2.ErrPINNotSet,
		ctap2.ErrKeyStoreFull, ctap2.ErrOperationDenied, ctap2.ErrUserActionTimeout,
	} {
		for sub, call := range configCalls(t) {
			f, err := play([]byte{byte(status)}).Configurer(configInfo(), nil)
			if err != nil {
				t.Fatal(err)
			}
			e, ok := errors.AsType[*ctap2.Error](call(f))
			if !ok || e.Status != status || e.Cmd != ctap2.CmdConfig || e.Subcommand != uint(sub) {
				t.Errorf("%s: subcommand %d: %v", status.Name(), sub, e)
			}
		}
	}
}

func TestConfigNotThere(t *testing.T) {
	silent := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) {
		t.Error("the key was asked")
		return nil, nil
	}), nil)
	for _, options := range []map[string]bool{nil, {"authnrCfg": false}} {
		info := configInfo()
		info.Options = options
		if f, err := silent.Configurer(info, nil); !errors.Is(err, ctap2.ErrNotSupported) || f != nil || info.ConfigCommand(2) {
			t.Errorf("%v: %v, %v", options, f, err)
		}
	}
	for sub, call := range configCalls(t) {
		info := configInfo()
		info.AuthenticatorConfigCommands = []uint{0x42}
		f, err := silent.Configurer(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := call(f); !errors.Is(err, ctap2.ErrNotSupported) {
			t.Errorf("%d is not listed: %v", sub, err)
		}
	}
	f, err := silent.Configurer(configInfo(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.VendorPrototype(t.Context(), ctap2.VendorPrototypeParams{VendorCommandID: 1}); !errors.Is(err, ctap2.ErrNotSupported) {
		t.Errorf("another vendor's command: %v", err)
	}
}

func TestConfigCommandsBefore23(t *testing.T) {
	for _, tt := range []struct {
		name string
		info ctap2.Info
		want []ctap2.ConfigSubcommand
	}{
		{"nothing said", ctap2.Info{Options: map[string]bool{"authnrCfg": true}}, nil},
		{"everything", ctap2.Info{
			Options:           map[string]bool{"authnrCfg": true, "ep": false, "alwaysUv": false, "setMinPINLength": true},
			LongTouchForReset: new(false), VendorPrototypeConfigCommands: []uint64{},
		}, []ctap2.ConfigSubcommand{1, 2, 3, 4, 0xFF}},
		{"setMinPINLength is off", ctap2.Info{Options: map[string]bool{"authnrCfg": true, "setMinPINLength": false}}, nil},
		{"listed all the same", ctap2.Info{Options: map[string]bool{"authnrCfg": true, "ep": true}, AuthenticatorConfigCommands: []uint{2}}, []ctap2.ConfigSubcommand{2}},
		{"CTAP 2.3 without a list", ctap2.Info{Versions: []string{"FIDO_2_3"}, Options: map[string]bool{"authnrCfg": true, "ep": true}}, nil},
	} {
		listed := map[ctap2.ConfigSubcommand]bool{}
		for _, sub := range tt.want {
			listed[sub] = true
		}
		for sub := range ctap2.ConfigSubcommand(0x100) {
			if got := tt.info.ConfigCommand(sub); got != listed[sub] {
				t.Errorf("%s: subcommand %d: %v", tt.name, sub, got)
			}
		}
	}
}

func TestRPIDsOfSetMinPINLength(t *testing.T) {
	for n, limit := range map[int]*uint{2: nil, 3: nil, 1: new(uint(2)), 4: new(uint(5)), 5: new(uint(5)), 6: new(uint(5)), 0: new(uint(0))} {
		info := configInfo()
		info.MaxRPIDsForSetMinPINLength = limit
		s := &script{answers: map[byte][][]byte{13: {{0}}}}
		f, err := ctap2.NewClient(s, nil).Configurer(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = f.SetMinPINLength(t.Context(), ctap2.SetMinPINLengthParams{MinPINLengthRPIDs: make([]string, n)})
		if fits := limit == nil || uint(n) <= *limit; fits != (err == nil) || fits != (len(s.requests) == 1) || !fits && !errors.Is(err, ctap2.ErrTooLarge) {
			t.Errorf("%d RP IDs: %v", n, err)
		}
	}
}
