package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/internal/storetest"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var (
	secret = []byte("12345678901234567890")
	start  = time.Unix(1700000000, 0)
)

// lab is a service on a store, with a clock of the test's.
type lab struct {
	*registry.Service
	t     *testing.T
	store store.Store
	open  func() store.Store
	mu    sync.Mutex
	now   time.Time
}

func sealer(t testing.TB) *registry.Sealer {
	t.Helper()
	s, err := registry.NewSealer(bytes.Repeat([]byte{1}, registry.KeySize), bytes.Repeat([]byte{2}, registry.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// both runs a test on both databases.
func both(t *testing.T, test func(l *lab)) {
	storetest.Both(t, func(t *testing.T, open func() store.Store) {
		l := &lab{t: t, open: open, now: start}
		l.restart()
		test(l)
	})
}

// restart is a daemon that begins anew on the same database.
func (l *lab) restart() {
	l.store = l.open()
	l.Service = registry.New(registry.Config{Store: l.store, Sealer: sealer(l.t), Now: func() time.Time {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.now
	}})
}

func (l *lab) sleep(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// device is a token in somebody's hand.
type device struct {
	serial string
	key    *otp.Key
	// counter is an HOTP token's, ahead how many steps a clock is.
	counter uint64
	ahead   int64
	l       *lab
}

func (l *lab) device(serial string, p otp.Parameters) *device {
	l.t.Helper()
	seed := append([]byte(serial+"-"), secret...)
	p = p.Default()
	lines, err := l.Import(l.t.Context(), []registry.Seed{{Serial: serial, Params: p, Secret: seed}}, registry.ImportOptions{})
	if err != nil || len(lines) != 1 || lines[0].Verdict != registry.Added {
		l.t.Fatalf("import: %+v, %v", lines, err)
	}
	k, err := otp.NewKey(p, seed)
	if err != nil {
		l.t.Fatal(err)
	}
	return &device{serial: serial, key: k, l: l}
}

// code is what it shows; steps is how many steps from now.
func (d *device) code(steps int64) string {
	p := d.key.Parameters()
	if p.Kind == otp.HOTP {
		return d.key.Code(d.counter + uint64(steps))
	}
	step, _ := p.Step(d.l.now)
	return d.key.Code(uint64(int64(step) + d.ahead + steps))
}

func (l *lab) enroll(user string, d *device) {
	l.t.Helper()
	one, two := d.code(-1), d.code(0) // who has waited for the second one
	if d.key.Parameters().Kind == otp.HOTP {
		one, two = d.code(0), d.code(1)
	}
	r, err := l.Enroll(l.t.Context(), user, d.serial, one, two)
	if err != nil {
		l.t.Fatalf("enroll: %+v, %v", r, err)
	}
	if d.key.Parameters().Kind == otp.HOTP {
		d.counter += 2
	} else {
		l.sleep(time.Minute)
	}
}

func (l *lab) accepts(user, code, serial string) registry.Result {
	l.t.Helper()
	r, err := l.Verify(l.t.Context(), user, code)
	if err != nil || r.Serial != serial || r.Outcome != registry.Accepted {
		l.t.Fatalf("got %+v, %v, want a code of %s accepted", r, err, serial)
	}
	return r
}

func (l *lab) refuses(user, code string, why registry.Outcome) registry.Result {
	l.t.Helper()
	r, err := l.Verify(l.t.Context(), user, code)
	if !errors.Is(err, registry.ErrWrong) || err.Error() != registry.ErrWrong.Error() || r.Outcome != why {
		l.t.Fatalf("got %+v, %v, want %s", r, err, why)
	}
	return r
}

func (l *lab) token(serial string) (k *store.Token) {
	l.t.Helper()
	if err := l.store.View(l.t.Context(), func(tx store.Tx) (err error) {
		k, err = tx.Token(serial)
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	return k
}

// A code is accepted once: at once again, after a restart, and by another daemon.
func TestACodeIsTakenOnce(t *testing.T) {
	both(t, func(l *lab) {
		for _, kind := range []otp.Kind{otp.TOTP, otp.HOTP, otp.Steam} {
			d := l.device(string(kind), otp.Parameters{Kind: kind})
			user := "user of " + string(kind)
			l.enroll(user, d)
			code := d.code(0)
			l.accepts(user, code, d.serial)
			want := registry.Replayed
			if kind == otp.HOTP {
				want = registry.Wrong // its window begins behind
			}
			l.refuses(user, code, want)
			l.restart()
			l.refuses(user, code, want)
		}
	})
}

// Traps: both codes of an enrolment are spent; whitespace does not make another code of one.
func TestCodesAreSpent(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("A", otp.Parameters{Kind: otp.TOTP})
		one, two := d.code(0), d.code(1)
		if _, err := l.Enroll(t.Context(), "alice", "A", one, two); err != nil {
			t.Fatal(err)
		}
		l.refuses("alice", one, registry.Replayed)
		l.refuses("alice", two, registry.Replayed)
		l.sleep(time.Minute)
		code := d.code(0)
		l.accepts("alice", code[:3]+" "+code[3:], "A")
		l.refuses("alice", " "+code, registry.Replayed)
	})
}

func TestOneOfManyIsAccepted(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("A", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		other := registry.New(registry.Config{Store: l.open(), Sealer: sealer(t), Now: func() time.Time { return l.now }})
		services := []*registry.Service{l.Service, other}
		code := d.code(0)
		var yes atomic.Int64
		var wg sync.WaitGroup
		for n := range 32 {
			wg.Go(func() {
				switch _, err := services[n%2].Verify(t.Context(), "alice", code); {
				case err == nil:
					yes.Add(1)
				case !errors.Is(err, registry.ErrWrong):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if yes.Load() != 1 {
			t.Errorf("%d were accepted", yes.Load())
		}
	})
}

func TestWindows(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		l.sleep(time.Hour)
		for _, steps := range []int64{-2, 2} {
			l.refuses("alice", d.code(steps), registry.Wrong)
		}
		l.accepts("alice", d.code(-1), "T")
		l.sleep(time.Hour)
		l.refuses("alice", d.code(1), registry.Wrong) // its clock is taken to be a step behind now
		l.accepts("alice", d.code(0), "T")
		l.sleep(time.Hour)
		l.accepts("alice", d.code(1), "T")
		h := l.device("H", otp.Parameters{Kind: otp.HOTP})
		l.enroll("bob", h)
		l.accepts("bob", h.code(10), "H")
		l.refuses("bob", h.code(10), registry.Wrong)
		l.refuses("bob", h.code(9), registry.Wrong) // never backwards
		h.counter += 11
		l.refuses("bob", h.code(11), registry.Wrong)
	})
}

// A clock that drifts is followed, a step at a time, and one that is far off is found by two codes.
func TestDrift(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		d.ahead = -40 // when it comes
		l.enroll("alice", d)
		if k := l.token("T"); k.Drift != -40 {
			t.Errorf("drift after enrolment: %d", k.Drift)
		}
		l.sleep(time.Hour)
		for range 10 {
			d.ahead++
			l.sleep(10 * time.Minute)
			l.accepts("alice", d.code(0), "T")
		}
		if k := l.token("T"); k.Drift != -30 {
			t.Errorf("drift: %d, want -30", k.Drift)
		}
		d.ahead += 500
		l.sleep(time.Hour)
		l.refuses("alice", d.code(0), registry.Wrong)
		if _, err := l.Resync(t.Context(), "T", d.code(0), d.code(2)); !errors.Is(err, registry.ErrWrong) {
			t.Errorf("codes that do not follow each other: %v", err)
		}
		if _, err := l.Resync(t.Context(), "T", d.code(0), d.code(1)); err != nil {
			t.Fatal(err)
		}
		l.sleep(time.Minute)
		l.accepts("alice", d.code(0), "T")
		// Never backwards: codes from before are not found.
		if _, err := l.Resync(t.Context(), "T", d.code(-5), d.code(-4)); !errors.Is(err, registry.ErrWrong) {
			t.Errorf("back: %v", err)
		}
		h := l.device("H", otp.Parameters{Kind: otp.HOTP})
		l.enroll("bob", h)
		h.counter += 700
		l.refuses("bob", h.code(0), registry.Wrong)
		if r, err := l.Resync(t.Context(), "H", h.code(0), h.code(1)); err != nil || r.Counter != h.counter {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

// Guessing is slowed down, for the person whatever the token, and each token is locked in the end; the right code then
// does not help, and an answer does not tell.
func TestGuessing(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		wrong := func() string { // never right by chance
			for n := 0; ; n++ {
				code := fmt.Sprintf("%06d", n)
				if !strings.Contains(d.code(-1)+" "+d.code(0)+" "+d.code(1), code) {
					return code
				}
			}
		}
		for n := 1; n <= 20; n++ {
			r := l.refuses("alice", wrong(), registry.Wrong)
			want := time.Duration(0)
			if n > 3 {
				want = min(time.Second<<(n-4), 15*time.Minute)
			}
			if got := r.Until.Sub(l.now); !r.Until.IsZero() && got != want || r.Until.IsZero() != (want == 0) {
				t.Fatalf("after %d: wait %v, want %v", n, got, want)
			}
			if want > 0 {
				l.refuses("alice", d.code(0), registry.Throttled)
				l.restart()
				l.sleep(want - time.Millisecond)
				l.refuses("alice", d.code(0), registry.Throttled)
				l.sleep(time.Millisecond)
			}
		}
		if k := l.token("T"); k.State != store.Locked {
			t.Errorf("the token is %s", k.State)
		}
		l.refuses("alice", d.code(0), registry.Unknown)
		if err := l.Enable(t.Context(), "T"); err != nil {
			t.Fatal(err)
		}
		if err := l.Unlock(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		l.accepts("alice", d.code(0), "T")
		l.refuses("nobody", "123456", registry.Unknown)
		if err := l.Unlock(t.Context(), "nobody"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// Trap: a wrong code is not remembered as used.
func TestWrongCodesAreNotSpent(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		l.sleep(time.Hour)
		soon := d.code(2)
		l.refuses("alice", soon, registry.Wrong)
		if k := l.token("T"); k.Failures != 1 {
			t.Errorf("%d failures", k.Failures)
		}
		l.sleep(time.Minute)
		l.accepts("alice", soon, "T")
	})
}

func TestSeveralTokensOfAPerson(t *testing.T) {
	both(t, func(l *lab) {
		var all []*device
		for n := range 8 {
			d := l.device(fmt.Sprintf("T%d", n), otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA256})
			l.enroll("alice", d)
			all = append(all, d)
		}
		more := l.device("T8", otp.Parameters{Kind: otp.TOTP})
		if _, err := l.Enroll(t.Context(), "alice", "T8", more.code(0), more.code(1)); !errors.Is(err, registry.ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
		for _, d := range all {
			l.accepts("alice", d.code(0), d.serial)
		}
		if got, err := l.Find(t.Context(), all[3].code(0)); err != nil || fmt.Sprint(got) != "[T3]" {
			t.Errorf("find: %v, %v", got, err)
		}
		// A token is one person's.
		if _, err := l.Enroll(t.Context(), "bob", "T3", all[3].code(2), all[3].code(3)); !errors.Is(err, registry.ErrState) {
			t.Errorf("another person's: %v", err)
		}
		if err := l.Assign(t.Context(), "T3", "bob"); !errors.Is(err, registry.ErrState) {
			t.Errorf("another person's: %v", err)
		}
		if err := l.Retire(t.Context(), "T0"); err != nil {
			t.Fatal(err)
		}
		l.sleep(time.Minute)
		l.refuses("alice", all[0].code(0), registry.Wrong)
		if _, err := l.Enroll(t.Context(), "alice", "T8", more.code(0), more.code(1)); err != nil {
			t.Errorf("in its place: %v", err)
		}
		if err := l.Enable(t.Context(), "T0"); !errors.Is(err, registry.ErrState) {
			t.Errorf("back from retirement: %v", err)
		}
	})
}

func TestAssignedTokensAreEnrolledByTheirOwner(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		if err := l.Assign(t.Context(), "T", "alice"); err != nil {
			t.Fatal(err)
		}
		l.refuses("alice", d.code(0), registry.Unknown) // not active yet
		if _, err := l.Enroll(t.Context(), "eve", "T", d.code(0), d.code(1)); !errors.Is(err, registry.ErrState) {
			t.Errorf("somebody else: %v", err)
		}
		if _, err := l.Enroll(t.Context(), "alice", "T", d.code(0), d.code(0)); !errors.Is(err, registry.ErrWrong) {
			t.Errorf("the same code twice: %v", err)
		}
		l.enroll("alice", d)
		l.accepts("alice", d.code(0), "T")
		if _, err := l.Enroll(t.Context(), "alice", "none", "1", "2"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no token: %v", err)
		}
	})
}

func TestLost(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		list, err := l.Lost(t.Context(), "T", 3, l.now.Add(24*time.Hour))
		if err != nil || len(list) != 3 {
			t.Fatalf("%d codes, %v", len(list), err)
		}
		l.sleep(time.Minute)
		l.refuses("alice", d.code(0), registry.Unknown)
		if err := l.Unlock(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		r, err := l.Verify(t.Context(), "alice", strings.ToLower(list[1]))
		if err != nil || !r.Recovery || r.Serial != "" {
			t.Errorf("a recovery code: %+v, %v", r, err)
		}
		l.restart()
		l.refuses("alice", list[1], registry.Unknown)
		l.refuses("bob", list[0], registry.Unknown)
		l.sleep(24 * time.Hour)
		l.refuses("alice", list[0], registry.Unknown)
		// Found again.
		if err := l.Enable(t.Context(), "T"); err != nil {
			t.Fatal(err)
		}
		l.accepts("alice", d.code(0), "T")
		fresh, err := l.RecoveryCodes(t.Context(), "alice", 1, l.now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		l.refuses("alice", list[2], registry.Wrong) // void
		if _, err := l.Verify(t.Context(), "alice", fresh[0]); err != nil {
			t.Error(err)
		}
		if _, err := l.RecoveryCodes(t.Context(), "alice", 1000, l.now); err == nil {
			t.Error("a thousand recovery codes")
		}
	})
}

func TestImportIsWholeOrNothing(t *testing.T) {
	both(t, func(l *lab) {
		seed := func(serial string, b byte) registry.Seed {
			return registry.Seed{Serial: serial, Params: otp.Parameters{Kind: otp.HOTP}, Secret: bytes.Repeat([]byte{b}, 20), Counter: 5}
		}
		verdicts := func(lines []registry.Line) (s string) {
			for _, line := range lines {
				s += line.Serial + ":" + string(line.Verdict) + " "
			}
			return s
		}
		lines, err := l.Import(t.Context(), []registry.Seed{seed("A", 1), seed("B", 2)}, registry.ImportOptions{})
		if err != nil || verdicts(lines) != "A:new B:new " {
			t.Errorf("got %s, %v", verdicts(lines), err)
		}
		short := seed("E", 5)
		short.Secret = short.Secret[:3]
		lines, err = l.Import(t.Context(), []registry.Seed{seed("A", 1), seed("B", 9), seed("C", 3), short, seed("", 6)}, registry.ImportOptions{})
		if !errors.Is(err, registry.ErrImport) || !strings.HasPrefix(verdicts(lines), "A:known B:conflicting C:new E:refused app-") || lines[4].Verdict != registry.Added {
			t.Errorf("got %s, %v", verdicts(lines), err)
		}
		if err := l.store.View(t.Context(), func(tx store.Tx) error { _, err := tx.Token("C"); return err }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("half of it is there: %v", err)
		}
		// Twice in one file, and one seed under two numbers.
		lines, err = l.Import(t.Context(), []registry.Seed{seed("D", 1), seed("D", 1)}, registry.ImportOptions{})
		if err != nil || verdicts(lines) != "D:new D:known " || lines[0].SameSeed != "A" {
			t.Errorf("got %+v, %v", lines, err)
		}
		for _, line := range lines {
			if strings.Contains(fmt.Sprintf("%+v", line), "\x01") {
				t.Error("a line has a seed in it")
			}
		}
		if k := l.token("A"); bytes.Contains(k.Seed, bytes.Repeat([]byte{1}, 8)) || k.Next != 5 {
			t.Errorf("the seed is not sealed, or the counter not kept: %+v", k)
		}
	})
}

func TestExpiry(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		if err := l.store.Update(t.Context(), func(tx store.Tx) error {
			k, err := tx.Token("T")
			if err != nil {
				return err
			}
			k.Starts, k.Expires = l.now.Add(time.Hour), l.now.Add(2*time.Hour)
			return tx.SaveToken(k)
		}); err != nil {
			t.Fatal(err)
		}
		l.refuses("alice", d.code(0), registry.Unknown)
		l.sleep(time.Hour)
		l.accepts("alice", d.code(0), "T")
		l.sleep(time.Hour)
		l.refuses("alice", d.code(0), registry.Unknown)
	})
}

// A token whose seed cannot be opened keeps nobody from using another, and says so.
func TestSealKeysAreMissing(t *testing.T) {
	both(t, func(l *lab) {
		d, e := l.device("A", otp.Parameters{Kind: otp.TOTP}), l.device("B", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		l.enroll("alice", e)
		if err := l.store.Update(t.Context(), func(tx store.Tx) error {
			other, err := tx.Token("B")
			if err != nil {
				return err
			}
			return tx.Reseal("A", other.Seed) // taken from another place
		}); err != nil {
			t.Fatal(err)
		}
		l.accepts("alice", e.code(0), "B")
		l.refuses("alice", d.code(0), registry.Wrong)
		if _, err := l.Resync(t.Context(), "A", d.code(0), d.code(1)); !errors.Is(err, registry.ErrSeal) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSealer(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, registry.KeySize) }
	old, err := registry.NewSealer(key(1), key(2))
	if err != nil {
		t.Fatal(err)
	}
	sealed := old.Seal([]byte("the secret"), "A")
	rotated, err := registry.NewSealer(key(1), key(3), key(2))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rotated.Open(sealed, "A"); err != nil || string(got) != "the secret" {
		t.Errorf("got %q, %v", got, err)
	}
	if !rotated.Stale(sealed) || rotated.Stale(rotated.Seal(nil, "A")) || old.Stale(sealed) {
		t.Error("stale ones are not known")
	}
	if !bytes.Equal(old.Fingerprint([]byte("x")), rotated.Fingerprint([]byte("x"))) {
		t.Error("fingerprints change with the key")
	}
	alone, _ := registry.NewSealer(key(1), key(3))
	for name, open := range map[string]func() ([]byte, error){
		"another place": func() ([]byte, error) { return old.Open(sealed, "B") },
		"no key":        func() ([]byte, error) { return alone.Open(sealed, "A") },
		"cut":           func() ([]byte, error) { return old.Open(sealed[:20], "A") },
		"nothing":       func() ([]byte, error) { return old.Open(nil, "A") },
		"changed":       func() ([]byte, error) { b := bytes.Clone(sealed); b[len(b)-1] ^= 1; return old.Open(b, "A") },
		"other version": func() ([]byte, error) { b := bytes.Clone(sealed); b[0] = 2; return old.Open(b, "A") },
	} {
		if got, err := open(); !errors.Is(err, registry.ErrSeal) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, keys := range [][][]byte{{}, {key(1)[:31]}} {
		if _, err := registry.NewSealer(key(1), keys...); err == nil {
			t.Errorf("%d keys are taken", len(keys))
		}
	}
}

func TestCancelled(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("T", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Verify(ctx, "alice", d.code(0)); err == nil || errors.Is(err, registry.ErrWrong) {
			t.Errorf("got %v", err)
		}
		l.accepts("alice", d.code(0), "T")
	})
}
