package softkey

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fobd/fobd/ctap2"
)

// flag is a kind without a value.
func flag(name, doc string, member func(*Faults) *bool) faultKind {
	return faultKind{
		FaultName{name, "", doc},
		func(f *Faults, _ string) error { *member(f) = true; return nil },
		func(f *Faults) { *member(f) = false },
		func(f *Faults) []string {
			if *member(f) {
				return []string{""}
			}
			return nil
		},
	}
}

// one is a kind with one value, whose zero is off.
func one[T comparable](name, form, doc string, member func(*Faults) *T, read func(string) (T, error), write func(T) string) faultKind {
	var off T
	return faultKind{
		FaultName{name, form, doc},
		func(f *Faults, value string) error {
			v, err := read(value)
			if err == nil {
				*member(f) = v
			}
			return err
		},
		func(f *Faults) { *member(f) = off },
		func(f *Faults) []string {
			if v := *member(f); v != off {
				return []string{write(v)}
			}
			return nil
		},
	}
}

// several is a kind that can be there more than once.
func several[T any](name, form, doc string, member func(*Faults) *[]T, read func(string) (T, error), write func(T) string) faultKind {
	return faultKind{
		FaultName{name, form, doc},
		func(f *Faults, value string) error {
			if len(*member(f)) >= maxFaults {
				return fmt.Errorf("there are %d", maxFaults)
			}
			v, err := read(value)
			if err == nil {
				*member(f) = append(*member(f), v)
			}
			return err
		},
		func(f *Faults) { *member(f) = nil },
		func(f *Faults) []string {
			var words []string
			for _, v := range *member(f) {
				words = append(words, write(v))
			}
			return words
		},
	}
}

// commandWords are the commands by the names that faults have for them.
var commandWords = map[string]ctap2.Cmd{
	"any":                         0,
	"u2f":                         CommandU2F,
	"makeCredential":              ctap2.CmdMakeCredential,
	"getAssertion":                ctap2.CmdGetAssertion,
	"getInfo":                     ctap2.CmdGetInfo,
	"clientPIN":                   ctap2.CmdClientPIN,
	"reset":                       ctap2.CmdReset,
	"getNextAssertion":            ctap2.CmdGetNextAssertion,
	"bioEnrollment":               ctap2.CmdBioEnrollment,
	"credentialManagement":        ctap2.CmdCredentialManagement,
	"selection":                   ctap2.CmdSelection,
	"largeBlobs":                  ctap2.CmdLargeBlobs,
	"config":                      ctap2.CmdConfig,
	"bioEnrollmentPreview":        ctap2.CmdBioEnrollmentPreview,
	"credentialManagementPreview": ctap2.CmdCredentialManagementPreview,
}

func commandWord(cmd ctap2.Cmd) string {
	for word, c := range commandWords {
		if c == cmd {
			return word
		}
	}
	return fmt.Sprintf("%#02x", byte(cmd))
}

func readCommand(word string) (ctap2.Cmd, error) {
	if cmd, ok := commandWords[word]; ok {
		return cmd, nil
	}
	n, err := strconv.ParseUint(word, 0, 8)
	if err != nil {
		return 0, fmt.Errorf("no command is called %q", word)
	}
	return ctap2.Cmd(n), nil
}

func readTimes(word string) (Times, error) {
	switch word {
	case "always":
		return 0, nil
	case "once":
		return 1, nil
	}
	n, err := readNumber(word)
	return Times(n), err
}

// text writes a CommandFault.
func (c CommandFault) text() string { return commandWord(c.Command) + ":" + c.Times.String() }

func (c CommandFault) write(value string) string {
	return commandWord(c.Command) + ":" + value + ":" + c.Times.String()
}

func readCommandFault(value string) (CommandFault, error) {
	command, times, given := strings.Cut(value, ":")
	return commandFault(command, times, given)
}

func commandFault(command, times string, given bool) (c CommandFault, err error) {
	if c.Command, err = readCommand(command); err == nil && given {
		c.Times, err = readTimes(times)
	}
	return c, err
}

// split reads COMMAND:VALUE[:TIMES].
func split(text string) (c CommandFault, value string, err error) {
	command, rest, ok := strings.Cut(text, ":")
	if !ok {
		return c, "", errors.New("too short")
	}
	value, times, given := strings.Cut(rest, ":")
	c, err = commandFault(command, times, given)
	return c, value, err
}

func readStatusFault(text string) (StatusFault, error) {
	c, value, err := split(text)
	if err != nil {
		return StatusFault{}, err
	}
	s, err := readError(value)
	return StatusFault{c, s}, err
}

func readResponseFault(text string) (ResponseFault, error) {
	c, value, err := split(text)
	if err != nil {
		return ResponseFault{}, err
	}
	if len(value) > 2*maxResponse {
		return ResponseFault{}, errors.New("too long")
	}
	b, err := hex.DecodeString(value)
	if err != nil {
		return ResponseFault{}, errors.New("not hexadecimal digits")
	}
	return ResponseFault{c, b}, nil
}

func readSlowFault(text string) (SlowFault, error) {
	c, value, err := split(text)
	if err != nil {
		return SlowFault{}, err
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > maxFaultWait {
		return SlowFault{}, fmt.Errorf("%q is no time of up to %v", value, maxFaultWait)
	}
	return SlowFault{c, d}, nil
}

// statusWords are all statuses by name.
var statusWords = func() map[string]ctap2.Status {
	words := make(map[string]ctap2.Status, 256)
	for n := range 256 {
		words[strings.ToUpper(ctap2.Status(n).Name())] = ctap2.Status(n)
	}
	return words
}()

func readStatus(word string) (ctap2.Status, error) {
	if s, ok := statusWords[strings.ToUpper(word)]; ok {
		return s, nil
	}
	n, err := strconv.ParseUint(word, 0, 8)
	if err != nil {
		return 0, fmt.Errorf("no status is called %q", word)
	}
	return ctap2.Status(n), nil
}

// readError reads a status that is none of success.
func readError(word string) (ctap2.Status, error) {
	s, err := readStatus(word)
	if err == nil && s == ctap2.StatusOK {
		err = errors.New("OK is no error")
	}
	return s, err
}

// readNumber reads 1 to a million.
func readNumber(word string) (uint, error) {
	const most = 1_000_000
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil || n == 0 || n > most {
		return 0, fmt.Errorf("%q is no number of 1 to %d", word, most)
	}
	return uint(n), nil
}

func writeNumber(n uint) string { return strconv.FormatUint(uint64(n), 10) }

func readCredProtect(word string) (ctap2.CredProtect, error) {
	n, err := readNumber(word)
	if err != nil || ctap2.CredProtect(n) > ctap2.CredProtectUVRequired {
		return 0, fmt.Errorf("%q is no level of 1 to 3", word)
	}
	return ctap2.CredProtect(n), nil
}

func writeCredProtect(p ctap2.CredProtect) string { return writeNumber(uint(p)) }

func readSample(word string) (ctap2.SampleStatus, error) {
	if word == "late" {
		return ctap2.SampleNoUserActivity, nil
	}
	s, ok := ctap2.ParseSampleStatus(word)
	if !ok {
		return 0, fmt.Errorf("no sample is called %q", word)
	}
	return s, nil
}

func readWord[T ~string](words ...T) func(string) (T, error) {
	return func(word string) (T, error) {
		if !slices.Contains(words, T(word)) {
			return "", fmt.Errorf("%q is none of %v", word, words)
		}
		return T(word), nil
	}
}
