// Package pinentry asks a person for a PIN, or for consent, through one of GnuPG's pinentry
// programs, which speak the Assuan protocol on their standard streams ("The Assuan Developer
// Reference", client requests and server responses; "Using the PIN-Entry", protocol).
package pinentry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// Kinds are the prompts that a pinentry can show.
func Kinds() []api.PromptKind {
	return []api.PromptKind{api.PromptPIN, api.PromptNewPIN, api.PromptCode, api.PromptConfirm, api.PromptConsent}
}

// attempts is how often a new PIN may be typed in two ways.
const attempts = 3

// Prompter asks with a pinentry program, a new one for each prompt. It implements
// daemon/client's Prompter for [Kinds].
type Prompter struct {
	// Program is found by its name in PATH, or by its path.
	Program string
}

// Show does nothing: a pinentry only asks.
func (*Prompter) Show(api.Prompt) {}

// Withdraw does nothing.
func (*Prompter) Withdraw(string) {}

// Choose asks for consent, which is then for the first of the choices; a pinentry has no lists for others.
func (p *Prompter) Choose(ctx context.Context, prompt api.Prompt) (int, error) {
	if prompt.Kind != api.PromptConsent || len(prompt.Choices) == 0 {
		return 0, errors.New("a pinentry cannot show choices")
	}
	yes, err := p.Confirm(ctx, prompt)
	if err != nil || yes {
		return 0, err
	}
	return len(prompt.Choices) - 1, nil
}

// Confirm asks a yes-or-no question.
func (p *Prompter) Confirm(ctx context.Context, prompt api.Prompt) (bool, error) {
	s, err := p.open(ctx, prompt)
	if err != nil {
		return false, err
	}
	defer s.close()
	if err := s.describe(prompt); err != nil {
		return false, err
	}
	_, err = s.do("CONFIRM")
	var refused *refusal
	if errors.As(err, &refused) && refused.no() {
		return false, nil
	}
	return err == nil, err
}

// PIN asks for a PIN or a code, for a new PIN twice.
func (p *Prompter) PIN(ctx context.Context, prompt api.Prompt) (api.Secret, error) {
	s, err := p.open(ctx, prompt)
	if err != nil {
		return api.Secret{}, err
	}
	defer s.close()
	if err := s.describe(prompt); err != nil {
		return api.Secret{}, err
	}
	if prompt.Kind != api.PromptNewPIN {
		label := "PIN:"
		if prompt.Kind == api.PromptCode {
			label = "Code:"
		}
		pin, err := s.pin(label)
		return api.NewSecret(pin), err
	}
	for range attempts {
		pin, err := s.pin("New PIN:")
		if err != nil {
			return api.Secret{}, err
		}
		again, err := s.pin("The same again:")
		same := string(pin) == string(again)
		clear(again)
		if err == nil && same {
			return api.NewSecret(pin), nil
		}
		clear(pin)
		if err != nil {
			return api.Secret{}, err
		}
		if _, err := s.do("SETERROR " + escape("The two differ.")); err != nil {
			return api.Secret{}, err
		}
	}
	return api.Secret{}, errors.New("the two differ")
}

// open starts the program and greets it.
func (p *Prompter) open(ctx context.Context, prompt api.Prompt) (*session, error) {
	s, err := start(ctx, p.Program)
	if err != nil {
		return nil, err
	}
	if _, err := s.response(); err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", p.Program, err)
	}
	// What a pinentry without a display needs; one that does not know an option says so, and goes on.
	for name, value := range map[string]string{
		"ttyname": os.Getenv("GPG_TTY"), "ttytype": os.Getenv("TERM"), "lc-ctype": locale("LC_CTYPE"), "lc-messages": locale("LC_MESSAGES"),
	} {
		if value != "" {
			_, _ = s.do("OPTION " + name + "=" + escape(value))
		}
	}
	if left, ok := timeLeft(prompt); ok {
		_, _ = s.do(fmt.Sprintf("SETTIMEOUT %d", max(1, int(left.Seconds()))))
	}
	return s, nil
}

// describe says who wants what.
func (s *session) describe(p api.Prompt) error {
	text := p.Message
	if p.MinLength > 0 {
		text += fmt.Sprintf("\nAt least %d characters.", p.MinLength)
	}
	for _, command := range []string{"SETTITLE " + escape("Security key"), "SETDESC " + escape(text)} {
		if _, err := s.do(command); err != nil {
			return err
		}
	}
	return nil
}

// pin asks once. The caller wipes it.
func (s *session) pin(label string) ([]byte, error) {
	if _, err := s.do("SETPROMPT " + escape(label)); err != nil {
		return nil, err
	}
	pin, err := s.do("GETPIN")
	if err == nil && len(pin) == 0 {
		return nil, errors.New("the person gave up")
	}
	return pin, err
}

func timeLeft(p api.Prompt) (time.Duration, bool) {
	t, err := time.Parse(time.RFC3339, p.Deadline)
	return time.Until(t), err == nil
}

// locale is what setlocale(3) would use for a category.
func locale(category string) string {
	for _, name := range []string{"LC_ALL", category, "LANG"} {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// escape makes text a parameter of an Assuan line: percent, CR and LF are escaped, other control
// characters dropped, and it is cut to what a line can hold.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '%' || r == '\r' || r == '\n':
			fmt.Fprintf(&b, "%%%02X", r)
		case r < ' ' || r == 0x7F:
		default:
			b.WriteRune(r)
		}
		if b.Len() > maxText {
			break
		}
	}
	return b.String()
}
