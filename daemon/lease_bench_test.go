package daemon_test

import (
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/softkey"
)

// A message to the key itself, in a lease, and through a lease's file.
func BenchmarkLease(b *testing.B) {
	request := []byte{byte(ctap2.CmdGetInfo)}
	b.Run("key", func(b *testing.B) {
		key, err := softkey.New(softkey.Config{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := key.CBOR(b.Context(), request, func(byte) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("send", func(b *testing.B) {
		engine, id, _ := leasedOutside(b)
		send := api.LeaseSendRequest{Lease: id, CBOR: request}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := engine.Do(b.Context(), alice, api.OpLeaseSend, decoder(send), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reports", func(b *testing.B) {
		engine, id, _ := leasedOutside(b)
		dev, _ := reportsOf(b, engine, id)
		channel, err := ctaphid.Open(b.Context(), dev)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := channel.CBOR(b.Context(), request, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
