package pinentry_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/fobd/fobd/cmd/internal/pinentry"
	"github.com/fobd/fobd/daemon/api"
)

// script makes a program that answers as a pinentry, and returns it and the file of what it was told.
func script(t *testing.T, answers string) (p *pinentry.Prompter, said string) {
	t.Helper()
	dir := t.TempDir()
	said = filepath.Join(dir, "said")
	program := filepath.Join(dir, "pinentry")
	text := "#!/bin/sh\necho 'OK hello'\nwhile read -r line; do\nprintf '%s\\n' \"$line\" >>" + said + "\ncase \"$line\" in\n" + answers +
		"\nBYE) exit ;;\n*) echo OK ;;\nesac\ndone\n"
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return &pinentry.Prompter{Program: program}, said
}

func TestPIN(t *testing.T) {
	for _, test := range []struct {
		name, answers, want, err string
		kind                     api.PromptKind
	}{
		{"plain", `GETPIN) printf 'D 1234\nOK\n' ;;`, "1234", "", api.PromptPIN},
		{"escapes and parts", `GETPIN) printf 'S PIN_REPEATED\n# note\nD a%%25\r\nD %%0A b\nOK\n' ;;`, "a%\n b", "", api.PromptPIN},
		{"cancelled", `GETPIN) echo 'ERR 83886179 Operation cancelled <Pinentry>' ;;`, "", "gave up", api.PromptPIN},
		{"timed out", `GETPIN) echo 'ERR 83886142 Timeout <Pinentry>' ;;`, "", "nobody answered", api.PromptPIN},
		{"empty", `GETPIN) echo OK ;;`, "", "gave up", api.PromptPIN},
		{"new", `GETPIN) printf 'D 5678\nOK\n' ;;`, "5678", "", api.PromptNewPIN},
		{"ends", `GETPIN) exit ;;`, "", "ended", api.PromptPIN},
		{"nonsense", `GETPIN) echo WHAT ;;`, "", "cannot read", api.PromptPIN},
		{"broken escape", `GETPIN) echo 'D %zz' ;;`, "", "hexadecimal", api.PromptPIN},
		{"long line", `GETPIN) head -c 5000 /dev/zero | tr '\0' x ;;`, "", "too long", api.PromptPIN},
		{"no number", `GETPIN) echo 'ERR what' ;;`, "", "without a number", api.PromptPIN},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, said := script(t, test.answers)
			pin, err := p.PIN(t.Context(), api.Prompt{
				Kind: test.kind, Message: "50 %\nof\x1b it", MinLength: 4, Deadline: time.Now().Add(time.Minute).Format(time.RFC3339),
			})
			if got := string(pin.Bytes()); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v, want %q", err, test.err)
			}
			told, _ := os.ReadFile(said)
			if !strings.Contains(string(told), "SETDESC 50 %25%0Aof it") || !strings.Contains(string(told), "SETTIMEOUT ") {
				t.Errorf("the program was told %q", told)
			}
		})
	}
}

func TestNewPINTypedInTwoWays(t *testing.T) {
	p, said := script(t, `GETPIN) n=$((n+1)); printf 'D %s\nOK\n' "$n" ;;`)
	if _, err := p.PIN(t.Context(), api.Prompt{Kind: api.PromptNewPIN}); err == nil {
		t.Error("two PINs that differ are taken")
	}
	if told, _ := os.ReadFile(said); !strings.Contains(string(told), "SETERROR The two differ.") {
		t.Errorf("the program was told %q", told)
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"OK": true, "ERR 83886194 Not confirmed <Pinentry>": false} {
		p, _ := script(t, "CONFIRM) echo '"+answer+"' ;;")
		if got, err := p.Confirm(t.Context(), api.Prompt{Kind: api.PromptConfirm}); got != want || err != nil {
			t.Errorf("%s: got %v, %v", answer, got, err)
		}
		// Consent is for the first choice or the last one.
		choice := map[bool]int{true: 0, false: 2}[want]
		if got, err := p.Choose(t.Context(), api.Prompt{Kind: api.PromptConsent, Choices: make([]api.Choice, 3)}); got != choice || err != nil {
			t.Errorf("%s: got choice %v, %v", answer, got, err)
		}
	}
	p, _ := script(t, "CONFIRM) echo 'ERR 83886179 cancelled' ;;")
	if got, err := p.Confirm(t.Context(), api.Prompt{Kind: api.PromptConfirm}); got || err == nil {
		t.Errorf("cancelled: got %v, %v", got, err)
	}
	if _, err := p.Choose(t.Context(), api.Prompt{}); err == nil {
		t.Error("a pinentry shows choices")
	}
	if _, err := (&pinentry.Prompter{Program: "/nonexistent"}).PIN(t.Context(), api.Prompt{}); err == nil {
		t.Error("a program that is not there asks")
	}
}

// A prompt that is withdrawn takes its dialogue with it.
func TestWithdrawnPromptEndsTheProgram(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "asked")
	if err := exec.Command("mkfifo", fifo).Run(); err != nil {
		t.Fatal(err)
	}
	p, _ := script(t, "GETPIN) echo >"+fifo+"; exec tail -f /dev/null ;;")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(fifo)
		cancel()
	}()
	if _, err := p.PIN(ctx, api.Prompt{Kind: api.PromptPIN}); err == nil || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Debian's pinentry-tty, on a terminal of its own.
func TestPinentryTTY(t *testing.T) {
	program, err := exec.LookPath("pinentry-tty")
	if err != nil {
		t.Skip("pinentry-tty is not installed; .ci/run installs it")
	}
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	t.Setenv("GPG_TTY", slave.Name())
	t.Setenv("TERM", "vt100")
	go func() {
		var screen []byte
		for chunk, typed := make([]byte, 1000), false; ; {
			n, err := master.Read(chunk)
			if err != nil {
				return
			}
			if screen = append(screen, chunk[:n]...); !typed && strings.Contains(string(screen), "PIN:") {
				typed = true
				_, _ = master.WriteString("2468\n")
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pin, err := (&pinentry.Prompter{Program: program}).PIN(ctx, api.Prompt{Kind: api.PromptPIN, Message: "Enter the PIN of a key: 100% sure"})
	if err != nil || string(pin.Bytes()) != "2468" {
		t.Errorf("got %q, %v", pin.Bytes(), err)
	}
}
