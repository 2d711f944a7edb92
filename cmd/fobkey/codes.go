package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/hid/uhid"
	"github.com/fobd/fobd/hid/usbip"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/pcsc/vpcd"
	"github.com/fobd/fobd/tokens/slots/softslots"
	"github.com/fobd/fobd/tokens/softcodes"
	"github.com/fobd/fobd/tokens/softkey"
)

// What a YubiKey with the OTP interface only, and a Nitrokey 3, are to the kernel: programs know them by that.
const (
	yubico, yubikeyOTP               = 0x1050, 0x0401
	yubikeyName                      = "Yubico YubiKey OTP"
	nitrokeyVendor, nitrokey3        = 0x20A0, 0x42B2
	oathNone                         = "none"
	readerRetry                      = 300 * time.Millisecond
	yubikeyVersion            uint16 = 0x0543
)

// oathKinds are the words of --oath.
func oathKinds() []string {
	kinds := []string{oathNone}
	for _, p := range applet.Personalities() {
		kinds = append(kinds, string(p))
	}
	return kinds
}

// checkCodes finds offers that do not go with the kind of key, and chooses what was not said.
func (o *offer) checkCodes(s *settings) error {
	if s.oath == "" {
		s.oath = oathNone
		if o.reader != "" || o.slots {
			s.oath = string(applet.YubiKey)
		}
	}
	switch {
	case !slices.Contains(oathKinds(), s.oath):
		return fmt.Errorf("--oath is one of %v, not %q", oathKinds(), s.oath)
	case o.reader != "" && s.oath == oathNone:
		return errors.New("--vpcd needs an --oath other than none")
	case o.slots && s.oath != string(applet.YubiKey):
		return errors.New("--slots needs --oath yubikey")
	case o.slots && !o.uhid && !o.usbip:
		return errors.New("--slots goes with --uhid or --usbip")
	}
	if o.reader != "" {
		if _, _, err := net.SplitHostPort(o.reader); err != nil {
			return fmt.Errorf("--vpcd wants an address and a port, such as 127.0.0.1:35963: %w", err)
		}
	}
	if d := &o.device; s.oath == string(applet.Nitrokey) && d.vendorID == 0 && d.productID == 0 {
		d.vendorID, d.productID = nitrokeyVendor, nitrokey3
	}
	return nil
}

// newCodes makes what the key has for one-time codes; nil for nothing. Its person is the key's.
func newCodes(s settings, serial string, auth *soft) (*softcodes.Codes, error) {
	if s.oath == oathNone || s.oath == "" {
		return nil, nil
	}
	cfg := softcodes.Config{Kind: applet.Personality(s.oath), Touch: auth.Asked}
	if n, err := strconv.ParseUint(serial, 10, 32); err == nil {
		cfg.Serial = uint32(n)
	}
	if s.state != "" {
		cfg.Open = func(suffix string) (softkey.Store, error) { return softkey.OpenFile(s.state + suffix) }
	}
	return softcodes.New(cfg)
}

// withVendor is a key with a vendor command.
type withVendor struct {
	*soft
	codes *softcodes.Codes
}

// Vendor implements what [ctaphid.Authenticator] may have.
func (v withVendor) Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(byte)) ([]byte, error) {
	return v.codes.Vendor(ctx, cmd, payload, keepalive)
}

// answers is what channels reach.
func (k *key) answers() ctaphid.Authenticator {
	if s, ok := k.auth.(*soft); ok && k.codes.OverCTAPHID() {
		return withVendor{s, k.codes}
	}
	return k.auth
}

// openCodes plugs in what is beside FIDO.
func (k *key) openCodes(ctx context.Context, p *plug) error {
	if k.codes == nil {
		return nil
	}
	k.codes.Power(true)
	p.closers = append(p.closers, unpower{k.codes})
	if k.offer.reader != "" {
		p.wg.Go(func() { k.insert(p) })
	}
	if k.offer.slots {
		return k.openSlots(ctx, p)
	}
	return nil
}

// unpower ends what runs on a card when it is closed.
type unpower struct{ codes *softcodes.Codes }

func (u unpower) Close() error {
	u.codes.Power(false)
	return nil
}

// openSlots makes the keyboard of a YubiKey, a device of its own beside the FIDO key.
func (k *key) openSlots(ctx context.Context, p *plug) error {
	if k.offer.uhid {
		made, err := uhid.Create(ctx, uhid.Config{
			Name: yubikeyName, VendorID: yubico, ProductID: yubikeyOTP, Descriptor: softslots.Descriptor(), Feature: k.codes.Slots,
		})
		if err != nil {
			return err
		}
		k.keyboard(p, made, made)
	}
	if k.offer.usbip {
		made, err := usbip.New(usbip.Config{
			Manufacturer: "Yubico", Name: "YubiKey OTP", VendorID: yubico, ProductID: yubikeyOTP, Version: yubikeyVersion,
			Descriptor: softslots.Descriptor(), Feature: k.codes.Slots,
		})
		if err != nil {
			return err
		}
		k.keyboard(p, made, made)
		attachment, err := made.Attach(ctx)
		if err != nil {
			return err
		}
		p.closers = append(p.closers, detacher{attachment})
	}
	return nil
}

// keyboard drops what a host writes, such as the lights.
func (k *key) keyboard(p *plug, d hid.Device, c io.Closer) {
	p.closers = append(p.closers, c)
	p.wg.Go(func() {
		size, _ := d.ReportSizes()
		for report := make([]byte, max(size, hid.DefaultReportSize)); ; {
			if _, err := d.Read(report); err != nil {
				return
			}
		}
	})
}

// card is the application in a reader.
type card struct {
	applet.Slot
	// stays says that another interface has it as well, which a reader that saves power does not end.
	stays bool
}

// Power implements [vpcd.Card].
func (c card) Power(on bool) {
	if on || !c.stays {
		c.Slot.Power(on)
	}
}

// insert puts the card into the virtual reader, as soon as there is one, and again when pcscd comes back.
func (k *key) insert(p *plug) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	said := ""
	for p.ctx.Err() == nil {
		conn, err := dialer.DialContext(p.ctx, "tcp", k.offer.reader)
		if err == nil {
			said = ""
			k.log.Info("in the reader", "at", k.offer.reader)
			k.inserted.Store(true)
			err = vpcd.Serve(p.ctx, conn, card{k.codes.Applet.Slot(), k.codes.OverCTAPHID()})
			k.inserted.Store(false)
		}
		if p.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the reader has hung up")
		}
		if err.Error() != said {
			said = err.Error()
			k.log.Info("not in a reader; it is tried again and again", "err", err)
		}
		timer := time.NewTimer(readerRetry)
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
		}
	}
}

// codesState describes it in words of the form name=value, with a space in front.
func (k *key) codesState() string {
	if k.codes == nil {
		return ""
	}
	text := fmt.Sprintf(" oath=%s accounts=%d", k.codes.Kind(), k.codes.Accounts())
	if k.offer.reader != "" {
		text += fmt.Sprintf(" reader=%t", k.inserted.Load())
	}
	return text
}

// beside are the parts of a key that only some have.
type beside struct {
	codes    *softcodes.Codes // nil for none
	inserted atomic.Bool      // the card is in the reader
}
