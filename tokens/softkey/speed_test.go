package softkey_test

import (
	"testing"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestAllocations keeps an operation below 120 allocations, of which a signature of the standard library
// makes 57.
func TestAllocations(t *testing.T) {
	if testing.CoverMode() != "" {
		t.Skip("what is counted is another program")
	}
	a, c := newKey(t, softkey.Config{})
	id := credentialID(t, register(t, c, nil))
	for name, test := range map[string]struct {
		cmd     ctap2.Cmd
		request any
		most    float64
	}{
		"makeCredential": {ctap2.CmdMakeCredential, creation(), 120},
		"getAssertion":   {ctap2.CmdGetAssertion, assertion(id), 100},
	} {
		request, err := ctap2.MarshalRequest(test.cmd, test.request)
		if err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(100, func() {
			if response, err := a.CBOR(t.Context(), request, nil); err != nil || response[0] != 0 {
				t.Fatalf("%x, %v", response[0], err)
			}
		})
		if n >= test.most {
			t.Errorf("%s makes %v allocations, want fewer than %v", name, n, test.most)
		}
	}
}

// TestKeyIsReadyAtOnce wants a new key, and one that was stored with a thousand credentials, within 10 and
// 50 milliseconds: the best of several tries, as other programs run too.
func TestKeyIsReadyAtOnce(t *testing.T) {
	best := func(make func()) time.Duration {
		least := time.Hour
		for range 10 {
			began := time.Now()
			make()
			least = min(least, time.Since(began))
		}
		return least
	}
	if took := best(func() { newKey(t, softkey.Config{}) }); took > 10*time.Millisecond {
		t.Errorf("a new key took %v", took)
	}
	store := full(t, 1000)
	if took := best(func() { newKey(t, softkey.Config{Store: store}) }); took > 50*time.Millisecond {
		t.Errorf("a full key took %v", took)
	}
}

// full gives the state of a key with n discoverable credentials.
func full(t testing.TB, n int) *kept {
	t.Helper()
	store := &kept{}
	_, c := newKey(t, softkey.Config{Store: store})
	for i := range n {
		register(t, c, func(r *ctap2.MakeCredentialRequest) {
			resident(r)
			r.User.ID = []byte{byte(i >> 8), byte(i)}
		})
	}
	return store
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newKey(b, softkey.Config{})
	}
}

func BenchmarkLoadAThousandCredentials(b *testing.B) {
	store := full(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		newKey(b, softkey.Config{Store: store})
	}
}

// The floor of an assertion among a thousand credentials, the last of 64 ids being theirs, is its
// signature.
func BenchmarkGetAssertionAmongAThousand(b *testing.B) {
	a, c := newKey(b, softkey.Config{Store: full(b, 999)})
	id := credentialID(b, register(b, c, resident))
	r := assertion(id)
	for len(r.AllowList) < 64 {
		other := make([]byte, 64)
		other[0] = byte(len(r.AllowList))
		r.AllowList = append([]ctap2.CredentialDescriptor{*descriptor(other)}, r.AllowList...)
	}
	request, err := ctap2.MarshalRequest(ctap2.CmdGetAssertion, r)
	if err != nil {
		b.Fatal(err)
	}
	against(b, signer(b), call(b, a, request))
}
