//go:build soak

package registry_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/internal/storetest"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

const (
	killRounds = 500
	killTokens = 24 // more than the store gives a transaction each (store.Together)
	killBatch  = 50
)

// TestWorker is the process that is killed: it has codes accepted and files imported as fast as it can, and says what was
// done only after it was.
func TestWorker(t *testing.T) {
	address := os.Getenv("FOBD_KILL_STORE")
	if address == "" {
		t.Skip("for TestKill")
	}
	s, err := storetest.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	service := registry.New(registry.Config{Store: s, Sealer: sealer(t)})
	var wg sync.WaitGroup
	for i := range killTokens {
		wg.Go(func() {
			k, err := otp.NewKey(otp.Parameters{Kind: otp.HOTP}.Default(), seedOf(i))
			if err != nil {
				t.Error(err)
				return
			}
			user := fmt.Sprintf("T%07d", i)
			for {
				var next uint64
				if err := s.View(t.Context(), func(tx store.Tx) error {
					have, err := tx.Token(user)
					if err == nil {
						next = have.Next
					}
					return err
				}); err != nil {
					fmt.Printf("error %v\n", err)
					return
				}
				switch _, err := service.Verify(t.Context(), user, k.Code(next)); {
				case err == nil:
					fmt.Printf("accepted %s %d\n", user, next)
				case !errors.Is(err, registry.ErrWrong):
					fmt.Printf("error %v\n", err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for n := 0; ; n++ {
			batch := fmt.Sprintf("%d-%d", os.Getpid(), n)
			var seeds []registry.Seed
			for i := range killBatch {
				seeds = append(seeds, registry.Seed{Serial: fmt.Sprintf("B%s-%03d", batch, i), Params: otp.Parameters{Kind: otp.TOTP}, Secret: seedOf(i)})
			}
			if _, err := service.Import(t.Context(), seeds, registry.ImportOptions{}); err != nil {
				fmt.Printf("error %v\n", err)
				return
			}
			fmt.Printf("imported %s\n", batch)
		}
	})
	wg.Wait()
}

// A daemon is killed at random moments while codes are checked and files imported, hundreds of times: no code is
// accepted twice, no counter goes back, no file is there by half.
func TestKill(t *testing.T) {
	for name, make := range map[string]func(testing.TB) string{"sqlite": storetest.SQLiteAddress, "postgres": storetest.PostgresAddress} {
		t.Run(name, func(t *testing.T) {
			address := make(t)
			s, err := storetest.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			fill(t, s, registry.New(registry.Config{Store: s, Sealer: sealer(t)}), killTokens)
			s.Close()
			random := rand.New(rand.NewPCG(1, 2))
			accepted := map[string]int{}
			highest := map[string]uint64{}
			batches := 0
			for round := range killRounds {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestWorker$")
				cmd.Env = append(os.Environ(), "FOBD_KILL_STORE="+address)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				imported := map[string]bool{}
				lines := bufio.NewScanner(out)
				for first := true; lines.Scan(); {
					line := lines.Text()
					if first {
						// From its first success on, at any moment.
						first = false
						time.AfterFunc(time.Duration(random.IntN(40000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
					}
					var user, batch string
					var counter uint64
					switch {
					case strings.HasPrefix(line, "accepted "):
						if _, err := fmt.Sscanf(line, "accepted %s %d", &user, &counter); err != nil {
							continue // cut
						}
						accepted[user+fmt.Sprint(" ", counter)]++
						if counter < highest[user] {
							t.Errorf("round %d: %s went back to %d from %d", round, user, counter, highest[user])
						}
						highest[user] = counter
					case strings.HasPrefix(line, "imported "):
						if _, err := fmt.Sscanf(line, "imported %s", &batch); err == nil {
							imported[batch] = true
						}
					case strings.HasPrefix(line, "error ") || strings.Contains(line, "FAIL"):
						t.Errorf("round %d: %s", round, line)
					}
				}
				_ = cmd.Wait()
				batches += len(imported)
				s, err := storetest.Open(t.Context(), address)
				if err != nil {
					t.Fatalf("round %d: after the kill: %v", round, err)
				}
				prefix := fmt.Sprintf("B%d-", cmd.Process.Pid)
				if err := s.View(t.Context(), func(tx store.Tx) error {
					for user, counter := range highest {
						k, err := tx.Token(user)
						if err != nil || k.Next <= counter {
							return fmt.Errorf("%s accepted %d, and its next is %d: %w", user, counter, k.Next, err)
						}
					}
					list, err := tx.Tokens(store.Filter{After: prefix})
					if err != nil {
						return err
					}
					there := map[string]int{}
					for _, k := range list {
						if batch, _, ok := strings.Cut(strings.TrimPrefix(k.Serial, "B"), "-"+k.Serial[len(k.Serial)-3:]); ok && strings.HasPrefix(k.Serial, prefix) {
							there[batch]++
						}
					}
					for batch, n := range there {
						if n != killBatch {
							return fmt.Errorf("file %s is there by half: %d of %d", batch, n, killBatch)
						}
					}
					for batch := range imported {
						if there[batch] != killBatch {
							return fmt.Errorf("file %s was imported, and %d of it are there", batch, there[batch])
						}
					}
					return nil
				}); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if round%100 == 0 {
					if err := s.Check(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				s.Close()
			}
			for code, n := range accepted {
				if n > 1 {
					t.Errorf("%s was accepted %d times", code, n)
				}
			}
			t.Logf("%d codes accepted and %d files imported in %d lives", len(accepted), batches, killRounds)
		})
	}
}
