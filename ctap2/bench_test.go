package ctap2_test

import (
	"testing"

	"github.com/fobd/fobd/ctap2"
)

func message(b *testing.B, name string) (value any, wire []byte) {
	b.Helper()
	for _, m := range messages(b) {
		if m.name == name {
			return m.value, unhex(b, m.wire)
		}
	}
	b.Fatalf("no message %s", name)
	return nil, nil
}

func BenchmarkDecodeRequest(b *testing.B) {
	b.Run("makeCredential", func(b *testing.B) {
		_, wire := message(b, "makeCredential/all members")
		b.ReportAllocs()
		for b.Loop() {
			var r ctap2.MakeCredentialRequest
			if err := ctap2.Unmarshal(wire, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("getAssertion", func(b *testing.B) {
		wire := unhex(b, "a3 01 6b 6578616d706c652e6f7267 02 "+hash32+" 03 81 a2 62 6964 5820 "+
			"0909090909090909090909090909090909090909090909090909090909090909 64 74797065 "+publicKey)
		b.ReportAllocs()
		for b.Loop() {
			var r ctap2.GetAssertionRequest
			if err := ctap2.Unmarshal(wire, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("getAssertion with hmac-secret", func(b *testing.B) {
		_, wire := message(b, "getAssertion/all members")
		b.ReportAllocs()
		for b.Loop() {
			var r ctap2.GetAssertionRequest
			if err := ctap2.Unmarshal(wire, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncodeResponse(b *testing.B) {
	for name, v := range map[string]any{
		"makeCredential": &ctap2.MakeCredentialResponse{
			Fmt: "packed", AuthData: make([]byte, 196), AttStmt: append([]byte{0x58, 0xFF}, make([]byte, 255)...),
		},
		"getAssertion": &ctap2.GetAssertionResponse{
			Credential: &ctap2.CredentialDescriptor{ID: make([]byte, 32), Type: ctap2.TypePublicKey},
			AuthData:   make([]byte, 37), Signature: make([]byte, 71), User: &ctap2.User{ID: make([]byte, 16)},
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ctap2.MarshalResponse(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	_, wire := message(b, "makeCredential/all members")
	b.ReportAllocs()
	for b.Loop() {
		if err := ctap2.Canonical(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthData(b *testing.B) {
	a := ctap2.AuthData{Flags: ctap2.FlagUP | ctap2.FlagAT, CredentialID: make([]byte, 32), PublicKey: agreementKey(b)}
	buf := make([]byte, 0, 256)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if buf, err = a.AppendTo(buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ctap2.ParseAuthData(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
