package softkey_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// faulty is a key with one discoverable credential, made before its faults were switched on.
func faulty(t testing.TB, cfg softkey.Config, words ...string) (*softkey.Authenticator, *ctap2.Client, []byte) {
	t.Helper()
	a, c := newKey(t, cfg)
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) { r.Options = &ctap2.Options{RK: ref(true)} })
	data, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	f, err := softkey.ParseFaults(words...)
	if err != nil {
		t.Fatal(err)
	}
	a.SetFaults(f)
	return a, c, data.CredentialID
}

func get(t testing.TB, c *ctap2.Client, change func(*ctap2.GetAssertionRequest)) (*ctap2.GetAssertionResponse, error) {
	t.Helper()
	r := &ctap2.GetAssertionRequest{RPID: rpID, ClientDataHash: clientDataHash[:]}
	if change != nil {
		change(r)
	}
	return c.GetAssertion(t.Context(), r)
}

func silent(r *ctap2.GetAssertionRequest) { r.Options = &ctap2.Options{UP: ref(false)} }

func flagsOf(t testing.TB, authData []byte) ctap2.Flags {
	t.Helper()
	data, err := ctap2.ParseAuthData(authData)
	if err != nil {
		t.Fatal(err)
	}
	return data.Flags
}

// TestClientsMeetStatuses are the faults that a client meets as an error of getAssertion.
func TestClientsMeetStatuses(t *testing.T) {
	long := func(n int) func(*ctap2.GetAssertionRequest) {
		return func(r *ctap2.GetAssertionRequest) {
			for i := range n {
				r.AllowList = append(r.AllowList, *descriptor([]byte{byte(i)}))
			}
		}
	}
	unknown := func(r *ctap2.GetAssertionRequest) { r.RPID = "other.org" }
	for _, test := range []struct {
		word   string
		change func(*ctap2.GetAssertionRequest)
		want   ctap2.Status
		then   error // of the same request again
	}{
		{"status=getAssertion:PIN_AUTH_INVALID:once", nil, ctap2.ErrPINAuthInvalid, nil},
		{"status=any:0x7f", nil, ctap2.ErrOther, ctap2.ErrOther},
		{"response=getAssertion:2e:1", nil, ctap2.ErrNoCredentials, nil},
		{"max-list=2", long(3), ctap2.ErrLimitExceeded, ctap2.ErrLimitExceeded},
		{"refuse-lists=2", long(3), ctap2.ErrRequestTooLarge, ctap2.ErrRequestTooLarge},
		{"refuse-silent", silent, ctap2.ErrUnsupportedOption, ctap2.ErrUnsupportedOption},
		{"empty-list=INVALID_CREDENTIAL", unknown, ctap2.ErrInvalidCredential, ctap2.ErrInvalidCredential},
		{"refuse-extensions", func(r *ctap2.GetAssertionRequest) {
			r.Extensions = &ctap2.GetAssertionExtensions{CredBlob: ref(true)}
		}, ctap2.ErrUnsupportedExtension, ctap2.ErrUnsupportedExtension},
		{"fail-write=1", nil, ctap2.ErrOther, nil},
	} {
		_, c, _ := faulty(t, softkey.Config{}, test.word)
		if _, err := get(t, c, test.change); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.word, err, test.want)
		}
		if _, err := get(t, c, test.change); !errors.Is(err, test.then) {
			t.Errorf("%s, again: %v, want %v", test.word, err, test.then)
		}
	}
}

func TestClientsMeetGarbledAnswers(t *testing.T) {
	for _, word := range []string{"garble=getInfo:once", "truncate=getInfo:once", "response=getInfo:00a101:once"} {
		_, c, _ := faulty(t, softkey.Config{}, word)
		if i, err := c.GetInfo(t.Context()); err == nil {
			t.Errorf("%s: %+v", word, i)
		}
		if _, err := c.GetInfo(t.Context()); err != nil {
			t.Errorf("%s, again: %v", word, err)
		}
	}
	_, c, _ := faulty(t, softkey.Config{}, "empty-list=OK")
	if got, err := get(t, c, func(r *ctap2.GetAssertionRequest) { r.RPID = "other.org" }); errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("an empty map: %v, %v", got, err)
	}
}

// TestClientsMeetChangedAssertions are the faults of members and bits.
func TestClientsMeetChangedAssertions(t *testing.T) {
	for word, right := range map[string]func(t *testing.T, r *ctap2.GetAssertionResponse) bool{
		"no-up-bit": func(t *testing.T, r *ctap2.GetAssertionResponse) bool {
			return flagsOf(t, r.AuthData)&ctap2.FlagUP == 0
		},
		"backup-eligible": func(t *testing.T, r *ctap2.GetAssertionResponse) bool {
			return flagsOf(t, r.AuthData)&(ctap2.FlagBE|ctap2.FlagBS) == ctap2.FlagBE
		},
		"backup-state": func(t *testing.T, r *ctap2.GetAssertionResponse) bool {
			return flagsOf(t, r.AuthData)&(ctap2.FlagBE|ctap2.FlagBS) == ctap2.FlagBE|ctap2.FlagBS
		},
		"extra-extension": func(t *testing.T, r *ctap2.GetAssertionResponse) bool {
			return flagsOf(t, r.AuthData)&ctap2.FlagED != 0 && bytes.Contains(r.AuthData, []byte("fobdUnasked"))
		},
		"credential=never":  func(_ *testing.T, r *ctap2.GetAssertionResponse) bool { return r.Credential == nil },
		"credential=needed": func(_ *testing.T, r *ctap2.GetAssertionResponse) bool { return r.Credential != nil },
		"credential=always": func(_ *testing.T, r *ctap2.GetAssertionResponse) bool { return r.Credential != nil },
		"user=none":         func(_ *testing.T, r *ctap2.GetAssertionResponse) bool { return r.User == nil },
	} {
		_, c, _ := faulty(t, softkey.Config{}, word)
		got, err := get(t, c, nil)
		if err != nil || !right(t, got) {
			t.Errorf("%s: %+v, %v", word, got, err)
		}
	}
	// The client itself puts in what it can know, so that only the wire shows it.
	a, c, id := faulty(t, softkey.Config{}, "credential=needed")
	only := func(r *ctap2.GetAssertionRequest) { r.AllowList = []ctap2.CredentialDescriptor{*descriptor(id)} }
	if got, err := get(t, c, only); err != nil || got.Credential == nil || !bytes.Equal(got.Credential.ID, id) {
		t.Errorf("a credential that is not needed: %+v, %v", got, err)
	}
	request := &ctap2.GetAssertionRequest{RPID: rpID, ClientDataHash: clientDataHash[:]}
	only(request)
	var bare ctap2.GetAssertionResponse
	if err := exchange(t, a, ctap2.CmdGetAssertion, request, &bare); err != nil || bare.Credential != nil {
		t.Errorf("a credential that is not needed, on the wire: %+v, %v", bare, err)
	}
	verified := func(r *ctap2.GetAssertionRequest) { r.Options = &ctap2.Options{UV: ref(true)} }
	a, c2 := newKey(t, softkey.Config{Verification: softkey.VerificationGrant, Faults: softkey.Faults{User: softkey.UserCut, NoUV: true}})
	register(t, c2, func(r *ctap2.MakeCredentialRequest) {
		r.Options, r.User.Name = &ctap2.Options{RK: ref(true), UV: ref(true)}, "zoë"
	})
	if got, err := get(t, c2, verified); err != nil || got.User == nil || utf8.ValidString(got.User.Name) || flagsOf(t, got.AuthData)&ctap2.FlagUV != 0 {
		t.Errorf("%+v, %v with %v", got, err, a.Faults().Strings())
	}
}

func TestClientsMeetWrongCryptography(t *testing.T) {
	for word, want := range map[string]bool{"max-id=1000": true, "wrong-signature": false, "wrong-public-key": false} {
		f, err := softkey.ParseFaults(word)
		if err != nil {
			t.Fatal(err)
		}
		a, c := newKey(t, softkey.Config{Faults: f})
		made := register(t, c, nil)
		data, err := made.ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		got, err := get(t, c, func(r *ctap2.GetAssertionRequest) {
			r.AllowList = []ctap2.CredentialDescriptor{*descriptor(data.CredentialID)}
		})
		if err != nil {
			t.Fatal(err)
		}
		err = data.PublicKey.Verify(slices.Concat(got.AuthData, clientDataHash[:]), got.Signature)
		if (err == nil) != want {
			t.Errorf("%s: verified: %v, with %v", word, err, a.Faults().Strings())
		}
	}
}

func TestClientsMeetOtherNewCredentials(t *testing.T) {
	_, c, _ := faulty(t, softkey.Config{}, "self-attestation")
	var s ctap2.PackedStatement
	made := register(t, c, nil)
	if err := ctap2.UnmarshalLenient(made.AttStmt, &s); err != nil || len(s.X5C) != 0 {
		t.Errorf("self attestation: %d certificates, %v", len(s.X5C), err)
	}
	if data, _ := made.ParsedAuthData(); data.AAGUID != softkey.DefaultAAGUID {
		t.Errorf("the AAGUID is %v", data.AAGUID)
	}
	_, c, _ = faulty(t, softkey.Config{}, "enterprise-attestation")
	if made := register(t, c, nil); !set(made.EpAtt) {
		t.Error("no enterprise attestation")
	}
	for word, want := range map[string]ctap2.CredProtect{"default-cred-protect=2": 2, "force-cred-protect=3": 3} {
		_, c, _ = faulty(t, softkey.Config{}, word)
		if out := created(t, register(t, c, nil)); out.CredProtect != want {
			t.Errorf("%s: %v", word, out.CredProtect)
		}
	}
	_, c, _ = faulty(t, softkey.Config{}, "slots=1")
	r := creation()
	r.User.ID, r.Options = []byte("bob"), &ctap2.Options{RK: ref(true)}
	_, err := c.MakeCredential(t.Context(), r)
	wantStatus(t, err, ctap2.ErrKeyStoreFull)
	a, c, _ := faulty(t, softkey.Config{}, "max-id=5", "max-list=2")
	if i := a.Info(); i.MaxCredentialIDLength != 5 || i.MaxCredentialCountInList != 2 {
		t.Errorf("%+v", i)
	}
	a.SetFaults(softkey.Faults{})
	if i, _ := c.GetInfo(t.Context()); i.MaxCredentialIDLength <= 5 || i.MaxCredentialCountInList <= 2 {
		t.Errorf("afterwards: %+v", i)
	}
}

func TestClientsMeetPolicies(t *testing.T) {
	a, c := pinKey(t, softkey.Config{})
	set := func(words ...string) {
		f, err := softkey.ParseFaults(words...)
		if err != nil {
			t.Fatal(err)
		}
		a.SetFaults(f)
	}
	token := ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Permissions: ctap2.PermissionGetAssertion, RPID: rpID}
	set("soft-lock")
	_, err := c.PINToken(t.Context(), token)
	wantStatus(t, err, ctap2.ErrPINAuthBlocked)
	a.PowerCycle()
	if _, err := c.PINToken(t.Context(), token); err != nil {
		t.Errorf("after a power cycle: %v", err)
	}
	set("force-pin-change")
	_, err = c.PINToken(t.Context(), token)
	wantStatus(t, err, ctap2.ErrPINPolicyViolation)
	if err := c.ChangePIN(t.Context(), 2, []byte(pin), []byte("9513")); err != nil {
		t.Fatal(err)
	}
	if words := a.Faults().Strings(); len(words) != 0 {
		t.Errorf("after the change: %q", words)
	}
	b, c := newKey(t, softkey.Config{Verification: softkey.VerificationGrant, AlwaysUV: true, Faults: softkey.Faults{UVFails: 2}})
	r := creation()
	for range 2 {
		if _, err := c.MakeCredential(t.Context(), r); err == nil {
			t.Error("the person was verified")
		}
	}
	register(t, c, func(r *ctap2.MakeCredentialRequest) { r.Options = &ctap2.Options{RK: ref(true)} })
	if got, err := get(t, c, silent); err != nil || flagsOf(t, got.AuthData)&ctap2.FlagUV != 0 {
		t.Errorf("silent: %v", err)
	}
	b.SetFaults(softkey.Faults{AlwaysUVSilent: true})
	if got, err := get(t, c, silent); err != nil || flagsOf(t, got.AuthData)&ctap2.FlagUV == 0 {
		t.Errorf("silent, verified all the same: %v", err)
	}
}

func TestClientsMeetSlowAndSilentKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c, _ := faulty(t, softkey.Config{}, "slow=getInfo:3s:once", "hang=reset", "cancel-status=OTHER", "hang=u2f:once")
		began := time.Now()
		if _, err := c.GetInfo(t.Context()); err != nil || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		wantStatus(t, c.Reset(ctx), ctap2.ErrOther)
		if time.Since(began) < time.Hour {
			t.Errorf("answered after %v", time.Since(began))
		}
		done := make(chan error)
		go func() { done <- c.Reset(t.Context()) }()
		synctest.Wait()
		a.PowerCycle()
		wantStatus(t, <-done, ctap2.ErrOther)
	})
}

func TestPowerIsLostBetweenTwoWrites(t *testing.T) {
	a, c, _ := faulty(t, softkey.Config{}, "power-cut=1")
	first, err := get(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = get(t, c, nil)
		wantStatus(t, err, ctap2.ErrOther)
	}
	a.PowerCycle()
	second, err := get(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := ctap2.ParseAuthData(first.AuthData)
	two, _ := ctap2.ParseAuthData(second.AuthData)
	if two.SignCount != one.SignCount+1 {
		t.Errorf("the counter goes from %d to %d", one.SignCount, two.SignCount)
	}
}

func TestFaultWords(t *testing.T) {
	var words []string
	for _, n := range softkey.FaultNames() {
		word := n.Name
		switch {
		case n.Value == "":
		case strings.Contains(n.Value, "HEX"):
			word += "=any:00a0:3"
		case strings.HasPrefix(n.Value, "COMMAND:STATUS"):
			word += "=getInfo:OTHER:once"
		case strings.HasPrefix(n.Value, "COMMAND:DURATION"):
			word += "=0x55:1s:always"
		case strings.HasPrefix(n.Value, "COMMAND"):
			word += "=u2f:always"
		case strings.HasPrefix(n.Value, "STATUS"):
			word += "=NOT_ALLOWED"
		case n.Value == "SAMPLE":
			word += "=too-fast"
		case n.Value == "N":
			word += "=7"
		default:
			word += "=" + strings.Split(n.Value, "|")[1]
		}
		words = append(words, word)
	}
	f, err := softkey.ParseFaults(words...)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Strings(); !slices.Equal(got, words) {
		t.Errorf("%q\nwant %q", got, words)
	}
	for _, n := range softkey.FaultNames() {
		if err := f.Unset(n.Name); err != nil {
			t.Error(err)
		}
	}
	if got := f.Strings(); len(got) != 0 {
		t.Errorf("all off, and left are %q", got)
	}
	for _, word := range []string{"", "x", "status", "status=1", "status=getInfo:OK", "soft-lock=1", "slots=0", "slots=-1", "slow=any:-1s", "response=any:0", "garble=any:0", "user=x"} {
		if f, err := softkey.ParseFaults(word); err == nil {
			t.Errorf("%q: %q", word, f.Strings())
		}
	}
}

func FuzzParseFaults(f *testing.F) {
	for _, word := range []string{"status=getInfo:OTHER:once", "response=any:00a0", "slow=0x55:1s", "sample=late", "empty-list=OK"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		faults, err := softkey.ParseFaults(word)
		if err != nil {
			return
		}
		words := faults.Strings()
		again, err := softkey.ParseFaults(words...)
		if err != nil || !slices.Equal(again.Strings(), words) {
			t.Errorf("%q: %q, then %q, %v", word, words, again.Strings(), err)
		}
	})
}

func TestClientsMeetBadSamples(t *testing.T) {
	m := bioKey(t, softkey.Config{})
	f, err := softkey.ParseFaults("sample=too-fast", "sample=late")
	if err != nil {
		t.Fatal(err)
	}
	m.a.SetFaults(f)
	got, err := m.fingers(ctap2.SubEnrollBegin, nil)
	if err != nil || *got.LastEnrollSampleStatus != ctap2.SampleTooFast {
		t.Fatalf("%+v, %v", got, err)
	}
	if words := m.a.Faults().Strings(); !slices.Equal(words, []string{"sample=no-user-activity"}) {
		t.Errorf("what is left is %q", words)
	}
	got, err = m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: got.TemplateID})
	if err != nil || *got.LastEnrollSampleStatus != ctap2.SampleNoUserActivity {
		t.Errorf("%+v, %v", got, err)
	}
}
