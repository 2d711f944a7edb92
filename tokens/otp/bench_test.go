package otp_test

import (
	"encoding/base32"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	ours "github.com/fobd/fobd/tokens/otp"
)

// BenchmarkWindow looks through 21 time steps for a code that is not there, seed and all, and says how many times
// as fast that is as liboath (in C) and pquerna/otp in the same run.
func BenchmarkWindow(b *testing.B) {
	const wrong, at, width = "000000", 1111111109, 10
	theirs := map[ours.Hash]otp.Algorithm{ours.SHA1: otp.AlgorithmSHA1, ours.SHA256: otp.AlgorithmSHA256, ours.SHA512: otp.AlgorithmSHA512}
	program := buildLiboath(b)
	for _, h := range []ours.Hash{ours.SHA1, ours.SHA256, ours.SHA512} {
		b.Run(string(h), func(b *testing.B) {
			p := ours.Parameters{Kind: ours.TOTP, Hash: h}.Default()
			step, _ := p.Step(time.Unix(at, 0))
			b.ReportAllocs()
			for b.Loop() {
				k, err := ours.NewKey(p, seed20)
				if err != nil {
					b.Fatal(err)
				}
				if _, ok := k.Scan(wrong, step-width, step+width); ok {
					b.Fatal("found")
				}
			}
			own := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			secret := base32.StdEncoding.EncodeToString(seed20)
			n, began := 0, time.Now()
			for ; time.Since(began) < time.Second/2; n++ {
				ok, err := totp.ValidateCustom(wrong, secret, time.Unix(at, 0), totp.ValidateOpts{Period: 30, Skew: width, Digits: otp.DigitsSix, Algorithm: theirs[h]})
				if ok || err != nil {
					b.Fatal(ok, err)
				}
			}
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(n)/own, "x-pquerna")
			if program == "" {
				return
			}
			out, err := exec.Command(program, string(h), strconv.Itoa(width), "0.5").Output()
			if err != nil {
				b.Fatal(err)
			}
			ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(ns/own, "x-liboath")
		})
	}
}

// buildLiboath compiles the C side, where there is a compiler and liboath-dev.
func buildLiboath(b *testing.B) string {
	program := filepath.Join(b.TempDir(), "liboath")
	if out, err := exec.Command("cc", "-O2", "-o", program, "testdata/liboath.c", "-loath").CombinedOutput(); err != nil {
		b.Logf("no liboath to compare with: %v\n%s", err, out)
		return ""
	}
	return program
}

// BenchmarkResync looks through 2,001 steps for two codes that follow each other.
func BenchmarkResync(b *testing.B) {
	k := newKey(b, ours.Parameters{Kind: ours.TOTP}, seed20)
	for b.Loop() {
		k.ScanTwo("000000", "000001", 1e6, 1e6+2000)
	}
}
