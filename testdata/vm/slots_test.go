//go:build vm

package vm

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/uhid"
	"github.com/fobd/fobd/hid/usbip"
	"github.com/fobd/fobd/tokens/slots"
	"github.com/fobd/fobd/tokens/slots/softslots"
)

// A YubiKey 5 with the OTP application only.
const yubico, yubikeyOTP = 0x1050, 0x0401

func newSlots(t *testing.T) *softslots.Key {
	t.Helper()
	k, err := softslots.New(softslots.Config{Serial: 12345678})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// drop reads what a host writes, such as a keyboard's lights, until the device is gone.
func drop(d hid.Device) {
	for report := make([]byte, 64); ; {
		if _, err := d.Read(report); err != nil {
			return
		}
	}
}

// says runs a program that must succeed and print what the pattern says.
func says(t *testing.T, pattern, name string, args ...string) string {
	t.Helper()
	out, complaints, err := try(t, "", name, args...)
	if err != nil || !regexp.MustCompile(pattern).MatchString(out) {
		t.Fatalf("%s %s: %v, want %q:\n%s%s", name, strings.Join(args, " "), err, pattern, out, complaints)
	}
	return out
}

// Yubico's own program, over hidraw, on an emulated key through /dev/uhid; and this project's driver beside it.
func TestYkmanOnEmulatedSlots(t *testing.T) {
	version(t, "yubikey-manager")
	key := newSlots(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*limit)
	defer cancel()
	dev, err := uhid.Create(ctx, uhid.Config{
		Name: "Yubico YubiKey OTP", VendorID: yubico, ProductID: yubikeyOTP, Descriptor: softslots.Descriptor(), Feature: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	go drop(dev)
	bus := hid.NewLinuxFeatureBus(hid.LinuxBusConfig{}, hid.YubiKeyOTP)
	var id string
	until(t, "the kernel shows the key", func() bool {
		infos, err := bus.Devices()
		if err != nil || len(infos) != 1 {
			return false
		}
		id = infos[0].ID
		return true
	})

	says(t, `12345678`, "ykman", "list")
	says(t, `(?s)Serial number: 12345678.*Firmware version: 5\.4\.3`, "ykman", "info")
	says(t, `(?s)Slot 1:\s+empty.*Slot 2:\s+empty`, "ykman", "otp", "info")
	seed := hex.EncodeToString([]byte("12345678901234567890"))
	says(t, ``, "ykman", "otp", "chalresp", "--force", "2", seed)
	says(t, `(?s)Slot 1:\s+empty.*Slot 2:\s+programmed`, "ykman", "otp", "info")
	// The vector of a step that others have computed.
	const challenge, response = "00000000023523ec", "278c02e53610f84c40bd9135acd4101012410a14"
	says(t, response, "ykman", "otp", "calculate", "2", challenge)
	says(t, `081804`, "ykman", "otp", "calculate", "--totp", "--digits", "6", "2", "1111111109")
	says(t, ``, "ykman", "otp", "hotp", "--force", "1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	if typed, err := key.Press(slots.Slot1); err != nil || !strings.HasPrefix(typed, "755224") {
		t.Errorf("slot 1 types %q, %v", typed, err)
	}
	says(t, ``, "ykman", "otp", "swap", "--force")
	says(t, response, "ykman", "otp", "calculate", "1", challenge)

	open, err := bus.Open(ctx, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := slots.Open(ctx, open.(hid.FeatureDevice), slots.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Serial(ctx); err != nil || n != 12345678 {
		t.Errorf("our driver: %d, %v", n, err)
	}
	b, err := hex.DecodeString(challenge)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Respond(ctx, slots.Slot1, b); err != nil || hex.EncodeToString(got) != response {
		t.Errorf("our driver: %x, %v", got, err)
	}
	open.Close()
	says(t, ``, "ykman", "otp", "delete", "--force", "1")
	says(t, ``, "ykman", "otp", "delete", "--force", "2")
	says(t, `(?s)Slot 1:\s+empty.*Slot 2:\s+empty`, "ykman", "otp", "info")
}

// Yubico's older programs, which speak USB themselves (libusb), on the same key as a USB device.
func TestYkchalrespOnEmulatedSlots(t *testing.T) {
	version(t, "yubikey-personalization")
	if _, err := os.Stat(usbip.ControllerPath); err != nil {
		t.Fatalf("the kernel has no virtual USB host controller: %v", err)
	}
	key := newSlots(t)
	dev, err := usbip.New(usbip.Config{
		Manufacturer: "Yubico", Name: "YubiKey OTP", VendorID: yubico, ProductID: yubikeyOTP, Version: 0x0543, Descriptor: softslots.Descriptor(), Feature: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	go drop(dev)
	ctx, cancel := context.WithTimeout(t.Context(), 5*limit)
	defer cancel()
	at, err := dev.Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { at.Detach() })

	says(t, `5\.4\.3`, "ykinfo", "-v")
	says(t, `12345678`, "ykinfo", "-s")
	says(t, ``, "ykpersonalize", "-2", "-ochal-resp", "-ochal-hmac", "-ohmac-lt64", "-oserial-api-visible", "-oallow-update", "-y", "-a3132333435363738393031323334353637383930")
	says(t, `278c02e53610f84c40bd9135acd4101012410a14`, "ykchalresp", "-2", "-H", "-x", "00000000023523ec")
	// The trap: a challenge that ends in zero is cut off by their padding, and not by ours.
	wrong := strings.TrimSpace(says(t, `^[0-9a-f]{40}\n$`, "ykchalresp", "-2", "-H", "-x", "0000000002352300"))
	right := strings.TrimSpace(says(t, `^[0-9a-f]{40}\n$`, "ykchalresp", "-2", "-H", "-x", "00000000023523"))
	if wrong != right {
		t.Errorf("ykchalresp pads otherwise than it did: %s, %s", wrong, right)
	}
	s, err := slots.Open(ctx, key, slots.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := hex.DecodeString("0000000002352300")
	if got, err := s.Respond(ctx, slots.Slot2, b); err != nil || hex.EncodeToString(got) == wrong {
		t.Errorf("our driver: %x, %v", got, err)
	}
	says(t, ``, "ykpersonalize", "-x", "-y")
	says(t, `278c02e53610f84c40bd9135acd4101012410a14`, "ykchalresp", "-1", "-H", "-x", "00000000023523ec")
	says(t, ``, "ykpersonalize", "-1", "-z", "-y")
}

// A fobkey with slots, for other projects' tests: Yubico's programs see a YubiKey beside the FIDO key, whose touch is ordered.
func TestFobkeyWithSlots(t *testing.T) {
	version(t, "yubikey-manager")
	for _, way := range []string{"--uhid", "--usbip"} {
		t.Run(way, func(t *testing.T) {
			k := &emulated{control: filepath.Join(t.TempDir(), "control")}
			k.process = start(t, nil, bin("fobkey"), way, "--slots", "--serial", "12345678", "--presence", "manual", "--control", k.control)
			k.line("slots")
			until(t, "ykman sees the key", func() bool {
				out, _, err := try(t, "", "ykman", "list")
				return err == nil && strings.Contains(out, "12345678")
			})
			says(t, ``, "ykman", "otp", "chalresp", "--force", "--touch", "2", hex.EncodeToString([]byte("12345678901234567890")))
			k.must("touch once")
			says(t, `278c02e53610f84c40bd9135acd4101012410a14`, "ykman", "otp", "calculate", "2", "00000000023523ec")
			if out := run(t, "", "fido2-token", "-L"); !strings.Contains(out, "/dev/hidraw") {
				t.Errorf("fido2-token -L says %s", out)
			}
			k.must("power off")
			until(t, "the key is gone", func() bool {
				out, _, _ := try(t, "", "ykman", "list")
				return !strings.Contains(out, "12345678")
			})
			k.must("power on")
			until(t, "the key is back", func() bool {
				out, _, err := try(t, "", "ykman", "otp", "info")
				return err == nil && strings.Contains(out, "Slot 2: programmed")
			})
		})
	}
}
