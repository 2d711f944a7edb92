package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/cmd/internal/cli"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/hid/uhid"
	"github.com/fobd/fobd/tokens/softkey"
)

// version is set by the linker.
var version = "unknown"

// runError is an error that is none of usage.
type runError struct{ err error }

func (e *runError) Error() string { return e.err.Error() }

func (e *runError) Unwrap() error { return e.err }

// settings say what kind of key it is.
type settings struct {
	state         string // file, or empty for memory
	presence      string
	delay         time.Duration
	uv            string
	attestation   string
	algorithms    []string
	profile       string
	faults        []string
	alwaysUV      bool
	postQuantum   bool
	blobArray     bool
	ctap1Only     bool
	seed          []byte
	noResetWindow bool
	oath          string
}

// check finds words that the flags do not know.
func (s *settings) check() error {
	for _, flag := range []struct {
		name, value string
		words       []string
	}{
		{"presence", s.presence, []string{"grant", "deny", "manual", "delay"}},
		{"uv", s.uv, []string{"none", "grant", "deny"}},
		{"attestation", s.attestation, []string{"packed", "self", "none"}},
	} {
		if !slices.Contains(flag.words, flag.value) {
			return fmt.Errorf("--%s is one of %s, not %q", flag.name, strings.Join(flag.words, ", "), flag.value)
		}
	}
	if !slices.Contains(softkey.Profiles(), softkey.Profile(s.profile)) {
		return fmt.Errorf("--profile is one of %s, not %q", profiles(), s.profile)
	}
	if s.ctap1Only && s.profile != string(softkey.ProfileFIDO23) && s.profile != string(softkey.ProfileU2F) {
		return fmt.Errorf("--ctap1-only is the profile %s, not %s", softkey.ProfileU2F, s.profile)
	}
	_, others, err := hid.ParseFaults(s.faults...)
	if err == nil {
		_, err = softkey.ParseFaults(others...)
	}
	if err != nil {
		return fmt.Errorf("--fault: %w", err)
	}
	for _, name := range s.algorithms {
		if _, err := algorithm(name); err != nil {
			return err
		}
	}
	switch {
	case s.presence == "delay" && s.delay <= 0:
		return errors.New("--presence delay needs a --delay above 0")
	case s.presence != "delay" && s.delay != 0:
		return errors.New("--delay goes with --presence delay")
	}
	return nil
}

// command builds the command line.
func command(out, errs io.Writer) *cobra.Command {
	var s settings
	var o offer
	var control, seed, level, vendor, product string
	var listeners, usbipListeners []string
	var preload bool
	var restore, imported string
	cmd := &cobra.Command{
		Use:   "fobkey --uhid|--usbip|--usbip-listen ADDRESS|--listen ADDRESS|--vpcd ADDRESS [flags]",
		Short: "Be one emulated security key in the foreground",
		Long: `fobkey is one emulated security key, without a daemon: a device of the kernel, a USB device
for whoever imports it, sockets of raw 64-byte HID reports, or several of them. When it is up it
prints a line that begins with "ready". It ends on SIGTERM, SIGINT or the order quit, and removes
what it made.

An ADDRESS to listen at is unix:PATH or PATH, unixpacket:PATH, tcp:127.0.0.1:PORT or
udp:127.0.0.1:PORT; port 0 is a free one, which the ready line tells. Only this machine can
reach it.

It has a YubiKey's application for one-time codes with --vpcd, which puts it into the virtual reader
of pcscd, and its slots with --slots; --oath is for those of other makers.

The control socket takes lines and answers each by "ok" or "error: ...":
  power on|off     put the key in, pull it out
  touch on|off     it is touched as the flags say, or never
  touch once|long  touch it, now or the next time it blinks; long is for a reset that wants it
  uv on|off        its own user verification succeeds or fails
  sample NAME...   what its fingerprint sensor says next, such as good or too-fast
  fault on SPEC... switch faults on; "fault off NAME...", "fault clear", "fault" lists them
  clock +DURATION  move its clock, such as +30s; from then on it moves by this alone
  snapshot PATH    keep its whole state in a file; restore PATH goes back to it
  export PATH      write its credentials as JSON, private keys included; import PATH reads some
  observe          from now on, a line of JSON for each thing that it is asked or does
  status           "ok power=on ..."
  quit             end the program
docs/emulated-key.md lists the faults.`,
		Example: `  fobkey --listen /tmp/key.sock --control /tmp/key.ctl --presence manual &
  echo touch once | nc -NU /tmp/key.ctl`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.parse(listeners, usbipListeners); err != nil {
				return err
			}
			if preload {
				program, err := os.Executable()
				if err != nil {
					return &runError{err}
				}
				return printPreload(out, program, o.listen)
			}
			if err := o.check(); err != nil {
				return err
			}
			var err error
			if o.device.vendorID, err = number("vendor-id", vendor); err != nil {
				return err
			}
			if o.device.productID, err = number("product-id", product); err != nil {
				return err
			}
			if seed != "" {
				if s.seed, err = cli.ReadSeed(seed); err != nil {
					return err
				}
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level is debug, info, warn or error, not %q", level)
			}
			log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: l}))
			if s.ctap1Only = s.ctap1Only || s.profile == string(softkey.ProfileU2F); s.ctap1Only {
				o.server.Capabilities = ctaphid.CapWink
			}
			if err := s.check(); err != nil {
				return err
			}
			if err := o.checkCodes(&s); err != nil {
				return err
			}
			auth, err := newAuthenticator(s, log)
			if err != nil {
				return &runError{err}
			}
			codes, err := newCodes(s, o.device.serial, auth)
			if err == nil {
				err = begin(auth, restore, imported)
			}
			if err == nil {
				k := newKey(auth, o, log)
				k.codes = codes
				if len(s.faults) > 0 {
					_, err = k.fault(auth, order{word: "on", args: s.faults})
				}
				if err == nil {
					err = run(cmd.Context(), program{key: k, control: control, out: out})
				}
			}
			if err = errors.Join(err, codes.Close(), auth.Close()); err != nil {
				return &runError{err}
			}
			return nil
		},
	}
	cmd.SetOut(out)
	cmd.SetErr(errs)
	cmd.SetVersionTemplate("fobkey {{.Version}}\n")
	cmd.CompletionOptions.DisableDefaultCmd = true
	f := cmd.Flags()
	f.BoolVar(&o.uhid, "uhid", false, "show the key to the kernel, through "+uhid.Path)
	f.BoolVar(&o.usbip, "usbip", false, "be a USB device of the kernel, through vhci_hcd; needs root")
	f.StringArrayVar(&usbipListeners, "usbip-listen", nil, "let hosts import the key over USB/IP at this `address`: 127.0.0.1:3240, or the path of a Unix socket")
	f.StringArrayVar(&listeners, "listen", nil, "take connections that carry raw reports at this `address`; each gets its own replies")
	f.BoolVar(&o.fanout, "fanout", false, "hand every report to every connection, as hidraw does")
	f.BoolVar(&preload, "preload", false, "print how programs of libfido2 use the key without a device, and end")
	f.StringVar(&o.reader, "vpcd", "", "put its card into vsmartcard's virtual reader of pcscd, at this `address`: 127.0.0.1:35963")
	f.BoolVar(&o.slots, "slots", false, "have the slots of a YubiKey's keyboard interface, beside --uhid or --usbip")
	f.StringVar(&s.oath, "oath", "", "its application for one-time codes is that of this `kind`: yubikey (default with --vpcd or --slots), neo, canokey, nitrokey, or none")
	f.StringVar(&control, "control", "", "take orders at this `path`")
	f.StringVar(&s.state, "state", "", "keep credentials in this `file` (default: in memory)")
	f.StringVar(&s.profile, "profile", string(softkey.ProfileFIDO23), "`kind` of key: "+profiles())
	f.StringArrayVar(&s.faults, "fault", nil, "do this `fault` from the beginning, such as wrong-signature")
	f.StringVar(&restore, "restore", "", "begin with the state of this `file`, which the order snapshot has written")
	f.StringVar(&imported, "import", "", "begin with the credentials of this `file`, as the order export writes them")
	f.StringVar(&s.presence, "presence", "grant", "what the person `does` when the key blinks: grant, deny, manual or delay")
	f.DurationVar(&s.delay, "delay", 0, "`time` until the touch, with --presence delay")
	f.StringVar(&s.uv, "uv", "none", "what the key's own user verification `does`: none, grant or deny")
	f.StringVar(&s.attestation, "attestation", "packed", "attestation `form`: packed, self or none")
	f.StringSliceVar(&s.algorithms, "algorithms", nil, "COSE algorithm `names` in order of preference, such as ES256,EdDSA (default: all)")
	f.BoolVar(&s.postQuantum, "post-quantum", false, "have ML-DSA algorithms, too")
	f.BoolVar(&s.alwaysUV, "always-uv", false, "ask for user verification even where the program does not")
	f.BoolVar(&s.blobArray, "large-blob-array", false, "keep large blobs as keys of CTAP 2.1 do, in one array")
	f.BoolVar(&s.ctap1Only, "ctap1-only", false, "be a U2F key, as --profile u2f is")
	f.StringVar(&seed, "seed", "", "`file` with hexadecimal bytes that make the key repeat itself; for tests only")
	f.BoolVar(&s.noResetWindow, "no-reset-window", false, "let reset work at any time, not only 10 seconds after power-up")
	f.StringVar(&o.device.name, "name", "", "what the kernel's device is `called`")
	f.StringVar(&o.device.serial, "serial", "", "serial `number` of the kernel's device, in ASCII")
	f.StringVar(&vendor, "vendor-id", "0", "USB vendor `number` of the kernel's device, such as 0x1209")
	f.StringVar(&product, "product-id", "0", "USB product `number` of the kernel's device")
	f.StringVar(&level, "log-level", "warn", "log from this `level` on: debug, info, warn or error")
	cmd.AddCommand(cli.ManCommand("fobkey", "1"))
	return cmd
}

// begin gives a key its first state from files; an empty name is none.
func begin(s stored, snapshot, credentials string) error {
	if snapshot != "" {
		data, err := readFixture(snapshot)
		if err == nil {
			err = s.restore(data)
		}
		if err != nil {
			return fmt.Errorf("--restore %s: %w", snapshot, err)
		}
	}
	if credentials != "" {
		data, err := readFixture(credentials)
		if err == nil {
			_, err = s.importCredentials(data)
		}
		if err != nil {
			return fmt.Errorf("--import %s: %w", credentials, err)
		}
	}
	return nil
}

// profiles lists the kinds of keys.
func profiles() string {
	var names []string
	for _, p := range softkey.Profiles() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// parse reads where to listen.
func (o *offer) parse(listeners, usbipListeners []string) error {
	for _, text := range listeners {
		a, err := parseAddress(text)
		if err != nil {
			return fmt.Errorf("--listen %w", err)
		}
		o.listen = append(o.listen, a)
	}
	for _, text := range usbipListeners {
		a, err := parseUSBIPAddress(text)
		if err != nil {
			return fmt.Errorf("--usbip-listen %w", err)
		}
		o.usbipListen = append(o.usbipListen, a)
	}
	return nil
}

// check finds an offer to nobody.
func (o *offer) check() error {
	switch {
	case !o.uhid && !o.usbip && len(o.listen) == 0 && len(o.usbipListen) == 0 && o.reader == "":
		return errors.New("say how to offer the key: --uhid, --usbip, --usbip-listen ADDRESS, --listen ADDRESS, --vpcd ADDRESS, or several of them")
	case o.fanout && len(o.listen) == 0:
		return errors.New("--fanout goes with --listen")
	}
	return nil
}

// number parses a USB number, decimal or with 0x.
func number(flag, text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 0, 16)
	if err != nil {
		return 0, fmt.Errorf("--%s is a number of 16 bits, such as 0x1209, not %q", flag, text)
	}
	return uint16(n), nil
}

// program is what run needs.
type program struct {
	key     *key
	control string // path of the control socket; empty for none
	out     io.Writer
}

// run switches the key on and keeps it up until ctx ends, the order quit comes, or it
// fails. Nothing that it made is left when it returns.
func run(ctx context.Context, p program) (err error) {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	ready := ""
	served := make(chan error, 1)
	if p.control == "" {
		served = nil // it never ends
	} else {
		l, err := listen("unix", p.control)
		if err != nil {
			return err
		}
		ready = " control=" + p.control
		c := &control{key: p.key, quit: quit}
		var serving sync.WaitGroup
		serving.Go(func() { served <- c.serve(ctx, l) })
		defer func() {
			quit()
			serving.Wait()
		}()
	}
	if err := p.key.on(ctx); err != nil {
		return err
	}
	defer p.key.pulling.Wait()
	defer func() {
		if e := p.key.off(); err == nil && !errors.Is(e, errState) {
			err = e
		}
	}()
	if _, err := fmt.Fprintln(p.out, p.key.ready()+ready); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.key.wanes:
		return err
	case err := <-served:
		return err
	}
}
