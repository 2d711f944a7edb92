package softkey_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestSnapshotsRestoreAndClone(t *testing.T) {
	a, c, id := faulty(t, softkey.Config{Seed: []byte("seed")})
	snapshot, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	next := func(a *softkey.Authenticator, c *ctap2.Client) []byte {
		if err := a.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		if l := a.Credentials(); len(l) != 1 || !bytes.Equal(l[0].ID, id) {
			t.Fatalf("%+v", l)
		}
		if _, err := get(t, c, nil); err != nil {
			t.Error(err)
		}
		data, err := register(t, c, nil).ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		return data.CredentialID
	}
	first := next(a, c)
	b, d := newKey(t, softkey.Config{Seed: []byte("seed"), Store: &kept{}})
	if second, third := next(a, c), next(b, d); !bytes.Equal(first, second) || !bytes.Equal(first, third) {
		t.Error("random numbers do not repeat")
	}
	other, _ := newKey(t, softkey.Config{Profile: softkey.ProfileFIDO21})
	for name, err := range map[string]error{
		"other profile": other.Restore(snapshot), "cut": a.Restore(snapshot[:len(snapshot)-1]), "empty": a.Restore(nil),
	} {
		if !errors.Is(err, softkey.ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.SetFaults(softkey.Faults{FailWrite: 1})
	before := b.Credentials()
	if err := b.Restore(snapshot); err == nil || !reflect.DeepEqual(b.Credentials(), before) {
		t.Errorf("a write that fails: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	a, _, _ := faulty(f, softkey.Config{})
	snapshot, err := a.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snapshot)
	f.Add(snapshot[:len(snapshot)-sha256.Size])
	f.Add([]byte{0xA0})
	f.Fuzz(func(t *testing.T, data []byte) {
		before := a.Credentials()
		if len(data)%2 == 0 {
			// Nobody would find a sum by chance.
			sum := sha256.Sum256(data)
			data = append(bytes.Clone(data), sum[:]...)
		}
		if a.Restore(data) != nil && !reflect.DeepEqual(a.Credentials(), before) {
			t.Error("what was not restored has changed the key")
		}
	})
}

func TestFixturesGoFromKeyToKey(t *testing.T) {
	for _, alg := range []cose.Algorithm{cose.ES256, cose.ES384, cose.ES512, cose.EdDSA, cose.RS256, cose.MLDSA44} {
		a, c := newKey(t, softkey.Config{PostQuantum: true})
		register(t, c, func(r *ctap2.MakeCredentialRequest) {
			r.Options, r.PubKeyCredParams[0].Alg = &ctap2.Options{RK: ref(true)}, alg
		})
		list, err := a.Export()
		if err != nil || len(list) != 1 {
			t.Fatalf("%v: %d, %v", alg, len(list), err)
		}
		hidden := list[0]
		hidden.ID, hidden.Discoverable, hidden.SignCount = []byte("hidden"), false, 100
		text, err := json.Marshal(append(list, hidden))
		if err != nil {
			t.Fatal(err)
		}
		list = nil
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		store := &kept{}
		b, d := newKey(t, softkey.Config{PostQuantum: true, Store: store})
		if err := b.Import(list); err != nil {
			t.Fatalf("%v: %v", alg, err)
		}
		again, err := b.Export()
		if err != nil || len(again) != 2 || !bytes.Equal(again[0].PrivateKey, list[0].PrivateKey) || again[1].SignCount != 100 {
			t.Errorf("%v: what comes out is not what went in: %d, %v", alg, len(again), err)
		}
		for _, allow := range [][]ctap2.CredentialDescriptor{nil, {*descriptor([]byte("hidden"))}} {
			if _, err := get(t, d, func(r *ctap2.GetAssertionRequest) { r.AllowList = allow }); err != nil {
				t.Errorf("%v: %v", alg, err)
			}
		}
		if _, d = newKey(t, softkey.Config{Store: store}); d == nil {
			t.Error("not loaded")
		}
		if _, err := get(t, d, func(r *ctap2.GetAssertionRequest) {
			r.AllowList = []ctap2.CredentialDescriptor{*descriptor([]byte("hidden"))}
		}); err != nil {
			t.Errorf("%v, loaded: %v", alg, err)
		}
		list[1].RPID = ""
		e, _ := newKey(t, softkey.Config{})
		if err := e.Import(list); err == nil || e.CredentialCount() != 0 {
			t.Errorf("half of it was imported: %v", err)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(`[{"credentialId":"AA","isResidentCredential":true,"rpId":"example.org","privateKey":"MAA","userHandle":"AQ","signCount":1}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []softkey.Fixture
		if json.Unmarshal(data, &list) != nil {
			return
		}
		a, _ := newKey(t, softkey.Config{})
		if a.Import(list) != nil && a.CredentialCount() != 0 {
			t.Error("half of it was imported")
		}
	})
}

func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c, id := faulty(t, softkey.Config{})
		list, next := a.Observations(0)
		if len(list) != 2 || list[0].Event != softkey.EventCreated || !bytes.Equal(list[0].Credential, id) || list[1].Command != ctap2.CmdMakeCredential {
			t.Fatalf("%+v", list)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var seen []softkey.Observation
		done := make(chan struct{})
		go func() {
			defer close(done)
			for o := range a.Observe(ctx, next) {
				seen = append(seen, o)
			}
		}()
		synctest.Wait()
		if _, err := get(t, c, func(r *ctap2.GetAssertionRequest) { r.AllowList = []ctap2.CredentialDescriptor{*descriptor(id)} }); err != nil {
			t.Fatal(err)
		}
		_, _ = get(t, c, func(r *ctap2.GetAssertionRequest) { r.RPID = "other.org" })
		synctest.Wait()
		cancel()
		<-done
		if len(seen) != 3 || seen[0].Event != softkey.EventAsserted || len(seen[1].List) != 1 || !bytes.Equal(seen[1].List[0], id) ||
			seen[2].Status != ctap2.ErrNoCredentials || seen[2].RPID != "other.org" {
			t.Errorf("%+v", seen)
		}
		for range softkey.MaxObservations {
			_, _ = c.GetInfo(t.Context())
		}
		if list, next := a.Observations(0); len(list) != softkey.MaxObservations || list[0].Number != next-softkey.MaxObservations {
			t.Errorf("%d kept, from %d to %d", len(list), list[0].Number, next)
		}
	})
}
