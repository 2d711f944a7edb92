package main

import (
	"context"
	"encoding/hex"
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

	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/hid/uhid"
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
	ctap1Only     bool
	seed          []byte
	noResetWindow bool
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
	cmd := &cobra.Command{
		Use:   "fobkey --uhid|--listen PATH [flags]",
		Short: "Be one emulated security key in the foreground",
		Long: `fobkey is one emulated security key, without a daemon: a device of the kernel, a Unix
socket of raw 64-byte HID reports, or both. When it is up it prints a line that begins with
"ready". It ends on SIGTERM, SIGINT or the order quit, and removes what it made.

The control socket takes lines and answers each by "ok" or "error: ...":
  power on|off     put the key in, pull it out
  touch on|off     it is touched as the flags say, or never
  touch once       touch it, now or the next time it blinks
  uv on|off        its own user verification succeeds or fails
  status           "ok power=on ..."
  quit             end the program`,
		Example: `  fobkey --listen /tmp/key.sock --control /tmp/key.ctl --presence manual &
  echo touch once | nc -NU /tmp/key.ctl`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.uhid && o.listen == "" {
				return errors.New("say how to offer the key: --uhid, --listen PATH or both")
			}
			if o.fanout && o.listen == "" {
				return errors.New("--fanout goes with --listen")
			}
			var err error
			if o.device.VendorID, err = number("vendor-id", vendor); err != nil {
				return err
			}
			if o.device.ProductID, err = number("product-id", product); err != nil {
				return err
			}
			if seed != "" {
				if s.seed, err = readSeed(seed); err != nil {
					return err
				}
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level is debug, info, warn or error, not %q", level)
			}
			log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: l}))
			if s.ctap1Only {
				o.server.Capabilities = ctaphid.CapWink
			}
			if err := s.check(); err != nil {
				return err
			}
			auth, err := newAuthenticator(s, log)
			if err != nil {
				return &runError{err}
			}
			err = run(cmd.Context(), program{key: newKey(auth, o, log), control: control, out: out})
			if e := auth.Close(); err == nil {
				err = e
			}
			if err != nil {
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
	f.StringVar(&o.listen, "listen", "", "take connections that carry raw reports at this `path`; each gets its own replies")
	f.BoolVar(&o.fanout, "fanout", false, "hand every report to every connection, as hidraw does")
	f.StringVar(&control, "control", "", "take orders at this `path`")
	f.StringVar(&s.state, "state", "", "keep credentials in this `file` (default: in memory)")
	f.StringVar(&s.presence, "presence", "grant", "what the person `does` when the key blinks: grant, deny, manual or delay")
	f.DurationVar(&s.delay, "delay", 0, "`time` until the touch, with --presence delay")
	f.StringVar(&s.uv, "uv", "none", "what the key's own user verification `does`: none, grant or deny")
	f.StringVar(&s.attestation, "attestation", "packed", "attestation `form`: packed, self or none")
	f.StringSliceVar(&s.algorithms, "algorithms", nil, "COSE algorithm `names` in order of preference, such as ES256,EdDSA (default: all)")
	f.BoolVar(&s.ctap1Only, "ctap1-only", false, "be a U2F key")
	f.StringVar(&seed, "seed", "", "`file` with hexadecimal bytes that make the key repeat itself; for tests only")
	f.BoolVar(&s.noResetWindow, "no-reset-window", false, "let reset work at any time, not only 10 seconds after power-up")
	f.StringVar(&o.device.Name, "name", "", "what the kernel's device is `called`")
	f.StringVar(&vendor, "vendor-id", "0", "USB vendor `number` of the kernel's device, such as 0x1209")
	f.StringVar(&product, "product-id", "0", "USB product `number` of the kernel's device")
	f.StringVar(&level, "log-level", "warn", "log from this `level` on: debug, info, warn or error")
	cmd.AddCommand(manCommand())
	return cmd
}

// number parses a USB number, decimal or with 0x.
func number(flag, text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 0, 16)
	if err != nil {
		return 0, fmt.Errorf("--%s is a number of 16 bits, such as 0x1209, not %q", flag, text)
	}
	return uint16(n), nil
}

// maxSeed bounds a file with a seed, in bytes.
const maxSeed = 1024

func readSeed(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSeed))
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(seed) == 0 {
		return nil, fmt.Errorf("%s: want hexadecimal bytes", name)
	}
	return seed, nil
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
	ready := "ready " + p.key.offer.String()
	served := make(chan error, 1)
	if p.control == "" {
		served = nil // it never ends
	} else {
		l, err := listen(p.control)
		if err != nil {
			return err
		}
		ready += " control=" + p.control
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
	defer func() {
		if e := p.key.off(); err == nil && !errors.Is(e, errState) {
			err = e
		}
	}()
	if _, err := fmt.Fprintln(p.out, ready); err != nil {
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
