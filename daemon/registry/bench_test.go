package registry_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/internal/storetest"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// fill imports n HOTP tokens and makes each the user's of its own name.
func fill(b testing.TB, s store.Store, service *registry.Service, n int) {
	b.Helper()
	for from := 0; from < n; from += 10000 {
		var seeds []registry.Seed
		for i := from; i < min(n, from+10000); i++ {
			seeds = append(seeds, registry.Seed{Serial: fmt.Sprintf("T%07d", i), Params: otp.Parameters{Kind: otp.HOTP}, Secret: seedOf(i)})
		}
		if _, err := service.Import(b.Context(), seeds, registry.ImportOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := s.Update(b.Context(), func(tx store.Tx) error {
			list, err := tx.Tokens(store.Filter{State: store.Imported, Limit: 10000})
			if err != nil {
				return err
			}
			for _, k := range list {
				if err := tx.SaveUser(&store.User{Name: k.Serial, Created: start}); err != nil {
					return err
				}
				k.State, k.Owner = store.Active, k.Serial
				if err := tx.SaveToken(k); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}

func seedOf(i int) []byte { return fmt.Appendf(nil, "seed of token %06d", i) }

// rate is how many codes a second clients get accepted, each of a token of its own.
func rate(b *testing.B, service *registry.Service, clients, offset int, long time.Duration) float64 {
	b.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for c := range clients {
		i := offset + c
		wg.Go(func() {
			k, err := otp.NewKey(otp.Parameters{Kind: otp.HOTP}.Default(), seedOf(i))
			if err != nil {
				b.Error(err)
				return
			}
			for counter := uint64(0); time.Since(began) < long; counter++ {
				if _, err := service.Verify(b.Context(), fmt.Sprintf("T%07d", i), k.Code(counter)); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(began).Seconds()
}

// BenchmarkVerify says how many codes a second are accepted, each durably, for 1, 8 and 64 clients at once.
func BenchmarkVerify(b *testing.B) {
	for name, open := range map[string]func(testing.TB) func() store.Store{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := open(b)()
				service := registry.New(registry.Config{Store: s, Sealer: sealer(b)})
				fill(b, s, service, 1000)
				var one float64
				for i, clients := range []int{1, 8, 64} {
					var before int64
					file, counts := s.(*store.SQLite)
					if counts {
						before = file.Commits()
					}
					per := rate(b, service, clients, i*100, 2*time.Second)
					b.ReportMetric(per, fmt.Sprintf("codes/s-of-%d", clients))
					if counts {
						b.ReportMetric(float64(file.Commits()-before)/2, fmt.Sprintf("commits/s-of-%d", clients))
					}
					if clients == 1 {
						one = per
					}
					if clients == 64 {
						b.ReportMetric(per/one, "x-of-64")
					}
				}
			}
		})
	}
}

// BenchmarkManyTokens compares a store of a million tokens with one of a thousand, on SQLite, with 64 clients.
func BenchmarkManyTokens(b *testing.B) {
	for b.Loop() {
		var rates []float64
		for _, n := range []int{1000, 1000000} {
			s := storetest.SQLite(b)()
			service := registry.New(registry.Config{Store: s, Sealer: sealer(b)})
			began := time.Now()
			fill(b, s, service, n)
			b.ReportMetric(time.Since(began).Seconds(), fmt.Sprintf("s-to-fill-%d", n))
			rates = append(rates, rate(b, service, 64, n/2, 3*time.Second))
		}
		b.ReportMetric(rates[0]/rates[1], "x-slower")
	}
}

// BenchmarkImport imports 100,000 tokens.
func BenchmarkImport(b *testing.B) {
	for name, open := range map[string]func(testing.TB) func() store.Store{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			seeds := make([]registry.Seed, 100000)
			for i := range seeds {
				seeds[i] = registry.Seed{Serial: fmt.Sprintf("T%07d", i), Params: otp.Parameters{Kind: otp.TOTP}, Secret: seedOf(i)}
			}
			for b.Loop() {
				service := registry.New(registry.Config{Store: open(b)(), Sealer: sealer(b)})
				if _, err := service.Import(b.Context(), seeds, registry.ImportOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
