package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/webauthn"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

func TestMessagesNameNoPackage(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("%w: no such site", webauthn.ErrRPID),
		&policy.DeniedError{Action: policy.Action{Operation: "touch"}, Decision: because("not yours")},
		invalidEmulation(errors.New("softkey: unknown presence")),
	} {
		message := ErrorOf(err).Message
		if name, _, found := strings.Cut(message, ": "); found && !strings.Contains(name, " ") {
			t.Errorf("the message is %q, want it without the package", message)
		}
	}
}

func TestErrorOf(t *testing.T) {
	key := keysFor(t, "k1")[0]
	three := uint(3)
	for name, test := range map[string]struct {
		err  error
		code api.Code
		text string
	}{
		"as it is":       {&api.Error{Code: api.CodeBusy, Message: "m"}, api.CodeBusy, "m"},
		"wrapped":        {fmt.Errorf("x: %w", &api.Error{Code: api.CodeBusy, Message: "m"}), api.CodeBusy, "m"},
		"unplugged":      {&keyError{key, fmt.Errorf("x: %w", hid.ErrGone)}, api.CodeKeyGone, "key k1 was pulled out"},
		"silent":         {&keyError{key, &ctaphid.CommandError{Err: ctaphid.ErrSilent}}, api.CodeKeySilent, "key k1"},
		"wrong PIN":      {&keyError{key, &ctap2.Error{Status: ctap2.ErrPINInvalid, Retries: &three}}, api.CodePINInvalid, "3 tries left"},
		"deadline":       {&keyError{key, errDeadline}, api.CodeTimeout, "key k1"},
		"late deadline":  {fmt.Errorf("%w: %w", &ctap2.Error{Status: ctap2.ErrKeepaliveCancel}, errDeadline), api.CodeTimeout, "in time"},
		"caller's":       {context.DeadlineExceeded, api.CodeTimeout, "in time"},
		"hung up":        {&keyError{key, context.Canceled}, api.CodeCancelled, "given up"},
		"stopping":       {fmt.Errorf("%w: %w", context.Canceled, errShuttingDown), api.CodeShuttingDown, "stopping"},
		"denied":         {&policy.DeniedError{Action: policy.Action{Operation: "touch"}, Decision: because("no")}, api.CodeDenied, "touch"},
		"undecodable":    {&requestError{errors.New("bad member")}, api.CodeInvalidRequest, "bad member"},
		"unknown status": {&keyError{key, &ctap2.Error{Status: 0xF3}}, api.CodeKeyError, "key k1"},
		"of the key":     {&keyError{key, errors.New("odd")}, api.CodeKeyError, "odd"},
		"ours":           {errors.New("odd"), api.CodeInternal, "odd"},
	} {
		t.Run(name, func(t *testing.T) {
			e := ErrorOf(test.err)
			if e.Code != test.code || !strings.Contains(e.Message, test.text) {
				t.Errorf("got %s %q, want %s with %q", e.Code, e.Message, test.code, test.text)
			}
			var at *keyError
			if errors.As(test.err, &at) && e.Key != "k1" {
				t.Errorf("got key %q", e.Key)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		})
	}
	if ErrorOf(nil) != nil {
		t.Error("no error became one")
	}
	if e := ErrorOf(&keyError{key, &ctap2.Error{Status: ctap2.ErrPINInvalid, Retries: &three}}); e.Retries == nil || *e.Retries != 3 || e.Status == nil || *e.Status != 0x31 {
		t.Errorf("got %+v, want the retries and the status", e)
	}
}

func TestTranslationsAreWhole(t *testing.T) {
	seen := make(map[error]bool)
	for _, row := range translations {
		if seen[row.target] {
			t.Errorf("%v is there twice", row.target)
		}
		seen[row.target] = true
		if row.hint == "" && row.code != api.CodeCancelled && row.code != api.CodeDenied {
			t.Errorf("%v: no hint what to do", row.target)
		}
		if strings.Count(row.message, "%") != strings.Count(row.message, "%s") {
			t.Errorf("%v: odd message %q", row.target, row.message)
		}
		e := ErrorOf(fmt.Errorf("around: %w", row.target))
		if e.Code != row.code {
			t.Errorf("%v: got %s, want %s: another row hides it", row.target, e.Code, row.code)
		}
	}
}

func because(reason string) policy.Decision {
	return policy.Decision{Effect: policy.Deny, Rules: []policy.Rule{{ID: "test", Reason: reason}}}
}
