package softkey_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// kept is a store with records that are there already.
type kept struct{ records [][]byte }

func (s *kept) Load(apply func([]byte) error) error {
	for _, r := range s.records {
		if err := apply(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *kept) Append(record []byte) error {
	s.records = append(s.records, append([]byte(nil), record...))
	return nil
}

func (s *kept) Rewrite(records [][]byte) error {
	s.records = records
	return nil
}

func (s *kept) Close() error { return nil }

// TestStateOfTheFirstVersion loads what the version before the extensions of CTAP 2.3 wrote: three stored
// credentials, a PIN, and three ids that hold their credentials.
func TestStateOfTheFirstVersion(t *testing.T) {
	b, err := os.ReadFile("testdata/state-v1.txt")
	if err != nil {
		t.Fatal(err)
	}
	store := &kept{}
	var ids [][]byte
	for line := range strings.Lines(string(b)) {
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case "record":
			store.records = append(store.records, data)
		case "id":
			ids = append(ids, data)
		}
	}
	if len(ids) != 6 {
		t.Fatalf("%d ids", len(ids))
	}
	a, c := newKey(t, softkey.Config{Store: store})
	if n := a.CredentialCount(); n != 3 {
		t.Errorf("%d stored credentials, want 3", n)
	}
	for _, id := range ids {
		ga := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
		yes := true
		r := assertion(id)
		r.Extensions = &ctap2.GetAssertionExtensions{CredBlob: &yes, ThirdPartyPayment: &yes}
		r.Authorize(ga)
		_, out, err := asserted(t, c, r)
		if err != nil {
			t.Errorf("id %x: %v", id, err)
			continue
		}
		if len(*out.CredBlob) != 0 || *out.ThirdPartyPayment {
			t.Errorf("id %x: it has got %x, %v", id, *out.CredBlob, *out.ThirdPartyPayment)
		}
		if got := hmacOutput(t, c, id); len(got) != 32 {
			t.Errorf("id %x: hmac-secret gives %x", id, got)
		}
	}
	// What this version adds is read again by itself.
	blob, yes := []byte("blob"), true
	mc := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionMakeCredential, RPID: rpID})
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
		resident(r)
		r.Extensions = &ctap2.MakeCredentialExtensions{CredBlob: &blob, ThirdPartyPayment: &yes}
		r.Authorize(mc)
	})
	persistent(t, c, pin)
	again, c2 := newKey(t, softkey.Config{Store: store})
	r := assertion(credentialID(t, made))
	r.Extensions = &ctap2.GetAssertionExtensions{CredBlob: &yes, ThirdPartyPayment: &yes}
	_, out, err := asserted(t, c2, r)
	if err != nil || string(*out.CredBlob) != "blob" || !*out.ThirdPartyPayment {
		t.Errorf("%+v, %v", out, err)
	}
	if again.Info().EncIdentifier == nil {
		t.Error("the persistent token is gone")
	}
}
