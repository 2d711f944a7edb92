package slots_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/slots"
	"github.com/fobd/fobd/tokens/slots/softslots"
)

var seed = []byte("12345678901234567890")

// recorder is a device that notes what is written to it, and can fail.
type recorder struct {
	slots.Device
	written []slots.Report
	get     func(report []byte) (int, error)
	set     func() error
}

func (r *recorder) SetFeature(report []byte) error {
	r.written = append(r.written, slots.Report(report))
	if r.set != nil {
		if err := r.set(); err != nil {
			return err
		}
	}
	return r.Device.SetFeature(report)
}

func (r *recorder) GetFeature(report []byte) (int, error) {
	if r.get != nil {
		return r.get(report)
	}
	return r.Device.GetFeature(report)
}

func newKey(t *testing.T, cfg softslots.Config) *softslots.Key {
	t.Helper()
	k, err := softslots.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T, dev slots.Device, o slots.Options) *slots.Session {
	t.Helper()
	s, err := slots.Open(t.Context(), dev, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors that were made by others: checksums, frames, reports, configuration, response, codes.
func TestVectors(t *testing.T) {
	var v struct {
		Serial   string   `json:"serial_frame_hex"`
		Reports  []string `json:"serial_reports"`
		Chalresp struct {
			Challenge string   `json:"challenge_hex"`
			Frame     string   `json:"frame_hex"`
			Sent      []string `json:"feature_reports"`
			Response  string   `json:"response_hmac_hex"`
			Got       []string `json:"response_reports"`
			Six       string   `json:"totp6"`
			Eight     string   `json:"totp8"`
		} `json:"chalresp"`
		Config struct {
			Hex string `json:"hex"`
		} `json:"config_hmac"`
	}
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if got := slots.Checksum([]byte("123456789")); got != 0x6F91 {
		t.Errorf("checksum %04x", got)
	}
	reports := func(list []slots.Report) (s []string) {
		for _, r := range list {
			s = append(s, hex.EncodeToString(r[:]))
		}
		return s
	}
	synctest.Test(t, func(t *testing.T) {
		dev := &recorder{Device: newKey(t, softslots.Config{Serial: 12345678})}
		s := open(t, dev, slots.Options{})
		if n, err := s.Serial(t.Context()); err != nil || n != 12345678 {
			t.Errorf("%d, %v", n, err)
		}
		if got := reports(dev.written[:2]); got[0] != v.Reports[0] || got[1] != v.Reports[1] {
			t.Errorf("serial: sent %v", got)
		}
		dev.written = nil
		if err := s.SetChallengeResponse(t.Context(), slots.Slot2, seed, false, slots.Change{}); err != nil {
			t.Fatal(err)
		}
		state := dev.Device.(*softslots.Key).Snapshot()
		if got := hex.EncodeToString(state.Slots[1]); got != v.Config.Hex {
			t.Errorf("configuration %s, want %s", got, v.Config.Hex)
		}
		dev.written = nil
		got, err := s.Respond(t.Context(), slots.Slot2, fromHex(t, v.Chalresp.Challenge))
		if err != nil || hex.EncodeToString(got) != v.Chalresp.Response {
			t.Errorf("%x, %v", got, err)
		}
		if sent := reports(dev.written[:len(dev.written)-1]); strings.Join(sent, " ") != strings.Join(v.Chalresp.Sent, " ") {
			t.Errorf("sent %v, want %v", sent, v.Chalresp.Sent)
		}
		if last := dev.written[len(dev.written)-1]; last != slots.ResetReport() {
			t.Errorf("the last report is %x", last)
		}
		f, err := slots.NewFrame(slots.CmdHMAC2, fromHex(t, v.Chalresp.Challenge))
		if err != nil {
			t.Fatal(err)
		}
		if b := f.Marshal(); hex.EncodeToString(b[:]) != v.Chalresp.Frame {
			t.Errorf("frame %x", b)
		}
		if got := reports(slots.ResponseReports(slots.AppendChecked(nil, fromHex(t, v.Chalresp.Response)))); strings.Join(got, " ") != strings.Join(v.Chalresp.Got, " ") {
			t.Errorf("response %v", got)
		}
		at := time.Unix(0x023523ec*30, 0)
		for digits, want := range map[int]string{6: v.Chalresp.Six, 8: v.Chalresp.Eight} {
			code, from, until, err := s.Code(t.Context(), slots.Slot2, otp.Parameters{Kind: otp.TOTP, Digits: digits}, at)
			if err != nil || code != want || !from.Equal(at) || until.Sub(from) != 30*time.Second {
				t.Errorf("%d digits: %s, %v, %v, %v", digits, code, from, until, err)
			}
		}
	})
}

// A step that ends in 00 is the one that ykchalresp answers wrongly: its padding is dropped together with the end of the challenge.
func TestPaddingIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newKey(t, softslots.Config{}), slots.Options{})
		if err := s.SetChallengeResponse(t.Context(), slots.Slot1, seed, false, slots.Change{}); err != nil {
			t.Fatal(err)
		}
		k, err := otp.NewKey(otp.Parameters{Kind: otp.TOTP}.Default(), seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []uint64{0, 1, 0x01, 0x0101, 0x100, 0x10000, 0x023523ec, 0x02352300, 0xFFFFFF, 0x0100000001} {
			code, _, _, err := s.Code(t.Context(), slots.Slot1, otp.Parameters{Kind: otp.TOTP}, time.Unix(int64(step)*30, 0))
			if err != nil || code != k.Code(step) {
				t.Errorf("step %x: %s, want %s, %v", step, code, k.Code(step), err)
			}
		}
		if b := slots.Padded([]byte{7, 0}); b[2] == 0 || b[63] == 0 {
			t.Errorf("padded %x", b)
		}
	})
}

func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		key := newKey(t, softslots.Config{})
		s := open(t, key, slots.Options{})
		use := func(one, two slots.Use) {
			t.Helper()
			st := s.Status()
			if st.Use(slots.Slot1) != one || st.Use(slots.Slot2) != two {
				t.Errorf("slots are %s, %s, want %s, %s", st.Use(slots.Slot1), st.Use(slots.Slot2), one, two)
			}
			again := open(t, key, slots.Options{})
			if again.Status() != st {
				t.Errorf("the key says %+v, we %+v", again.Status(), st)
			}
		}
		use(slots.UseEmpty, slots.UseEmpty)
		_, err := s.Respond(ctx, slots.Slot1, []byte{1})
		wants(t, err, slots.ErrEmpty)
		wants(t, s.Delete(ctx, slots.Slot1, slots.Access{}), slots.ErrEmpty)
		wants(t, s.Swap(ctx), slots.ErrEmpty)
		if err := s.SetHOTP(ctx, slots.Slot1, seed, slots.HOTP{Digits: 6, Enter: true, Counter: 16}, slots.Change{}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetChallengeResponse(ctx, slots.Slot2, seed, false, slots.Change{}); err != nil {
			t.Fatal(err)
		}
		use(slots.UseTouch, slots.UseChallenge)
		_, err = s.Respond(ctx, slots.Slot1, []byte{1})
		wants(t, err, slots.ErrNoChallenge)
		h, err := otp.NewKey(otp.Parameters{Kind: otp.HOTP}.Default(), seed)
		if err != nil {
			t.Fatal(err)
		}
		for n := range uint64(2) {
			if typed, err := key.Press(slots.Slot1); err != nil || typed != h.Code(16+n)+"\n" {
				t.Errorf("typed %q, %v", typed, err)
			}
		}
		if err := s.Swap(ctx); err != nil {
			t.Fatal(err)
		}
		use(slots.UseChallenge, slots.UseTouch)
		if _, err := s.Respond(ctx, slots.Slot1, []byte{1}); err != nil {
			t.Error(err)
		}
		// What a key is after it was unplugged.
		state := key.Snapshot()
		if key, err = softslots.New(softslots.Config{State: &state}); err != nil {
			t.Fatal(err)
		}
		if typed, _ := key.Press(slots.Slot2); typed != h.Code(18)+"\n" {
			t.Errorf("typed %q after it was unplugged", typed)
		}
		s = open(t, key, slots.Options{})
		for _, slot := range []slots.Slot{slots.Slot1, slots.Slot2} {
			if err := s.Delete(ctx, slot, slots.Access{}); err != nil {
				t.Fatal(err)
			}
		}
		use(slots.UseEmpty, slots.UseEmpty)
		if info, err := s.Info(ctx); err != nil || !bytes.Contains(info, []byte{5, 3, 5, 4, 3}) {
			t.Errorf("%x, %v", info, err)
		}
	})
}

func TestAccessCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := open(t, newKey(t, softslots.Config{}), slots.Options{})
		code := slots.Access{1, 2, 3, 4, 5, 6}
		if err := s.SetChallengeResponse(ctx, slots.Slot1, seed, false, slots.Change{New: code}); err != nil {
			t.Fatal(err)
		}
		wants(t, s.Delete(ctx, slots.Slot1, slots.Access{}), slots.ErrAccessCode)
		err := s.SetHOTP(ctx, slots.Slot1, seed, slots.HOTP{Digits: 6}, slots.Change{Current: slots.Access{9}})
		wants(t, err, slots.ErrAccessCode)
		if strings.Contains(fmt.Sprintf("%v %+v %v", err, code, slots.Change{Current: code}), "1 2 3") {
			t.Error("an access code is shown")
		}
		if _, err := s.Respond(ctx, slots.Slot1, []byte{1}); err != nil {
			t.Errorf("after refused changes: %v", err)
		}
		if err := s.Delete(ctx, slots.Slot1, code); err != nil {
			t.Error(err)
		}
	})
}

func TestArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := open(t, newKey(t, softslots.Config{}), slots.Options{})
		for name, err := range map[string]error{
			"no key":         s.SetChallengeResponse(ctx, slots.Slot1, nil, false, slots.Change{}),
			"a key of 21":    s.SetChallengeResponse(ctx, slots.Slot1, make([]byte, 21), false, slots.Change{}),
			"slot 3":         s.SetChallengeResponse(ctx, 3, seed, false, slots.Change{}),
			"7 digits":       s.SetHOTP(ctx, slots.Slot1, seed, slots.HOTP{Digits: 7}, slots.Change{}),
			"a counter of 8": s.SetHOTP(ctx, slots.Slot1, seed, slots.HOTP{Digits: 6, Counter: 8}, slots.Change{}),
			"a high counter": s.SetHOTP(ctx, slots.Slot1, seed, slots.HOTP{Digits: 6, Counter: 1 << 20}, slots.Change{}),
		} {
			if !errors.Is(err, slots.ErrArgument) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.SetChallengeResponse(ctx, slots.Slot1, make([]byte, 65), false, slots.Change{}); err != nil {
			t.Errorf("a key of 65 bytes: %v", err)
		}
		for _, challenge := range [][]byte{nil, make([]byte, 64)} {
			_, err := s.Respond(ctx, slots.Slot1, challenge)
			wants(t, err, slots.ErrArgument)
		}
		_, _, _, err := s.Code(ctx, slots.Slot1, otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA256}, time.Now())
		wants(t, err, slots.ErrArgument)
	})
}

// A touch is told, and one that never comes, or that nobody waits for any more, leaves the key idle.
func TestTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		touched := make(chan bool, 1)
		key := newKey(t, softslots.Config{Touch: func(ctx context.Context) bool {
			select {
			case yes := <-touched:
				return yes
			case <-ctx.Done():
				return false
			}
		}})
		var told []bool
		s := open(t, key, slots.Options{Touch: func(on bool) {
			told = append(told, on)
		}})
		if err := s.SetChallengeResponse(t.Context(), slots.Slot1, seed, true, slots.Change{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(3 * time.Second)
			touched <- true
		}()
		began := time.Now()
		if _, err := s.Respond(t.Context(), slots.Slot1, []byte{1}); err != nil || time.Since(began) < 3*time.Second || time.Since(began) > 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if fmt.Sprint(told) != "[true false]" {
			t.Errorf("told %v", told)
		}
		// Another program's wait is not broken.
		other := open(t, key, slots.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		ended := make(chan error)
		go func() {
			_, err := other.Respond(ctx, slots.Slot1, []byte{1})
			ended <- err
		}()
		time.Sleep(time.Second)
		_, err := slots.Open(t.Context(), key, slots.Options{})
		wants(t, err, slots.ErrBusy)
		// It gives up, and the key is idle.
		wants(t, <-ended, context.DeadlineExceeded)
		s = open(t, key, slots.Options{})
		began = time.Now()
		_, err = s.Respond(t.Context(), slots.Slot1, []byte{1})
		wants(t, err, slots.ErrTouch)
		if d := time.Since(began); d < 14*time.Second || d > 17*time.Second {
			t.Errorf("the key waited %v", d)
		}
		touched <- true
		if _, err := s.Respond(t.Context(), slots.Slot1, []byte{1}); err != nil {
			t.Error(err)
		}
	})
}

// After another interface of the key was used, the first commands fail.
func TestReclaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t, softslots.Config{Serial: 7})
		s := open(t, key, slots.Options{})
		key.Refuse(5)
		if n, err := s.Serial(t.Context()); err != nil || n != 7 {
			t.Errorf("%d, %v", n, err)
		}
		if err := s.SetChallengeResponse(t.Context(), slots.Slot1, seed, false, slots.Change{}); err != nil {
			t.Fatal(err)
		}
		key.Refuse(5)
		if _, err := s.Respond(t.Context(), slots.Slot1, []byte{1}); err != nil {
			t.Error(err)
		}
		key.Refuse(100)
		_, err := s.Serial(t.Context())
		wants(t, err, slots.ErrUnsupported)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Serial(ctx)
		wants(t, err, context.DeadlineExceeded)
	})
}

// A key that answers nonsense, is silent, or goes away.
func TestFaults(t *testing.T) {
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		reports []slots.Report // what it says, after that the last one again and again
		err     error
		want    error
	}{
		"silent":             {reports: []slots.Report{{7: 0x80}}, want: slots.ErrSilent},
		"gone":               {err: gone, want: gone},
		"a part is missing":  {reports: []slots.Report{{}, {7: 0x40}, {7: 0x42}}, want: slots.ErrMalformed},
		"bad checksum":       {reports: []slots.Report{{}, {7: 0x40}, {7: 0x40}}, want: slots.ErrMalformed},
		"ends in the middle": {reports: []slots.Report{{}, {1, 2, 3, 4, 5, 6, 7, 0x40}, {}}, want: slots.ErrMalformed},
		"endless touch":      {reports: []slots.Report{{}, {7: 0x2F}}, want: slots.ErrSilent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key := newKey(t, softslots.Config{})
				s := open(t, key, slots.Options{})
				if err := s.SetChallengeResponse(t.Context(), slots.Slot1, seed, false, slots.Change{}); err != nil {
					t.Fatal(err)
				}
				// The first report of the frame sees an idle key, its second one, too.
				said := c.reports
				dev := &recorder{Device: key}
				s = open(t, dev, slots.Options{})
				n := 0
				dev.get = func(report []byte) (int, error) {
					if c.err != nil {
						return 0, c.err
					}
					r := slots.Report{}
					if n < 2 && len(said) > 1 {
						// while it is written to
					} else if i := n - 2; len(said) > 1 && i+1 < len(said) {
						r = said[i+1]
					} else {
						r = said[len(said)-1]
					}
					n++
					return copy(report, r[:]), nil
				}
				_, err := s.Respond(t.Context(), slots.Slot1, []byte{1})
				wants(t, err, c.want)
				if last := dev.written; c.err == nil && (len(last) == 0 || last[len(last)-1] != slots.ResetReport()) {
					t.Errorf("the key is not idle: %x", last)
				}
			})
		})
	}
}

func TestLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t, softslots.Config{Serial: 5})
		// A program that ended in the middle of reading, and one that ended in the middle of writing.
		f, err := slots.NewFrame(slots.CmdSerial, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range f.Reports() {
			if err := key.SetFeature(r[:]); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, key, slots.Options{})
		first := f.Reports()[0]
		if err := key.SetFeature(first[:]); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Serial(t.Context()); err != nil || n != 5 {
			t.Errorf("%d, %v", n, err)
		}
		wants(t, key.SetFeature(first[:7]), softslots.ErrReport)
		if _, err := key.GetFeature(nil); !errors.Is(err, softslots.ErrReport) {
			t.Errorf("got %v", err)
		}
		if _, err := softslots.New(softslots.Config{State: &softslots.State{Slots: [2][]byte{{1, 2}}}}); !errors.Is(err, softslots.ErrState) {
			t.Errorf("got %v", err)
		}
		failing := newKey(t, softslots.Config{Save: func(softslots.State) error { return errors.New("full") }})
		wants(t, open(t, failing, slots.Options{}).SetChallengeResponse(t.Context(), slots.Slot1, seed, false, slots.Change{}), slots.ErrRefused)
		st := softslots.State{Slots: [2][]byte{[]byte("hush"), nil}}
		if text := fmt.Sprintf("%v %+v %#v %s", st, st, st, st); strings.Contains(text, "hush") || strings.Contains(text, "104") {
			t.Errorf("a state prints %s", text)
		}
	})
}

// FuzzKey writes anything to an emulated key: it must answer with reports that a host can read.
func FuzzKey(f *testing.F) {
	frame, _ := slots.NewFrame(slots.CmdHMAC1, []byte{1, 2, 3})
	var reports []byte
	for _, r := range frame.Reports() {
		reports = append(reports, r[:]...)
	}
	f.Add(reports)
	f.Fuzz(func(t *testing.T, data []byte) {
		key := newKey(t, softslots.Config{})
		for len(data) >= slots.ReportSize {
			if err := key.SetFeature(data[:slots.ReportSize]); err != nil {
				t.Fatal(err)
			}
			data = data[slots.ReportSize:]
			var r slots.Report
			if n, err := key.GetFeature(r[:]); n != slots.ReportSize || err != nil {
				t.Fatal(n, err)
			}
		}
	})
}

// FuzzSession has a key say anything.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 5, 4, 3, 1, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40})
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		dev := &recorder{Device: newKey(t, softslots.Config{})}
		dev.get = func(report []byte) (int, error) {
			if len(data) < slots.ReportSize {
				cancel()
				return 0, errors.New("no more")
			}
			n := copy(report, data[:slots.ReportSize])
			data = data[slots.ReportSize:]
			if report[7]&0x80 != 0 || report[7] != 0 && report[7]&0x40 == 0 {
				report[7] = 0 // waits take time
			}
			return n, nil
		}
		s, err := slots.Open(ctx, dev, slots.Options{})
		if err != nil {
			return
		}
		_, _ = s.Respond(ctx, slots.Slot1, []byte{1})
		_ = s.Swap(ctx)
		_, _ = s.Info(ctx)
	})
}
