package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/fobd/fobd/daemon/api"
)

// pinSource is where PINs come from.
type pinSource interface {
	pin(ctx context.Context, p api.Prompt) (api.Secret, error)
}

// pins gives the source of PINs that the flags choose.
func (a *app) pins() (pinSource, error) {
	switch a.pinFD {
	case -1:
		return ttyPINs{}, nil
	case 1, 2:
		return nil, usagef("--pin-fd %d is an output", a.pinFD)
	}
	if a.pinFD < 0 {
		return nil, usagef("--pin-fd must not be negative")
	}
	return &filePINs{name: fmt.Sprintf("file descriptor %d", a.pinFD), r: os.NewFile(uintptr(a.pinFD), "pin-fd")}, nil
}

// filePINs takes the PINs from the lines of a file, one for each question. The screen
// asks one question at a time.
type filePINs struct {
	name  string
	r     io.Reader
	asked []question
}

// question is what a PIN was given for.
type question struct {
	key  string
	kind api.PromptKind
}

func (f *filePINs) pin(_ context.Context, p api.Prompt) (api.Secret, error) {
	// Asked again means that the answer was wrong. The next line is none for the same
	// question: it would cost another try.
	if slices.Contains(f.asked, question{p.Key, p.Kind}) {
		again := &api.Error{Code: api.CodePINInvalid, Key: p.Key, Retries: p.Retries, Message: "wrong PIN on " + f.name}
		if p.Kind == api.PromptNewPIN {
			again.Code, again.Message = api.CodePINPolicy, "the key does not take the new PIN on "+f.name
			again.Hint = fmt.Sprintf("it has at least %d characters", p.MinLength)
		}
		return api.Secret{}, again
	}
	f.asked = append(f.asked, question{p.Key, p.Kind})
	line := make([]byte, 0, maxAnswer+1)
	// Byte by byte: what follows belongs to the next question, or to someone else.
	var b [1]byte
	defer clear(b[:])
	for {
		_, err := io.ReadFull(f.r, b[:])
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil && b[0] == '\n':
			return api.NewSecret(line), nil
		case errors.Is(err, io.EOF):
			return api.Secret{}, &api.Error{
				Code: api.CodePINRequired, Key: p.Key,
				Message: fmt.Sprintf("no (further) PIN on %s", f.name),
				Hint:    "give a line for each question: the current PIN first, then the new one",
			}
		case err != nil:
			clear(line)
			return api.Secret{}, usagef("%s: %w", f.name, err)
		case len(line) >= maxAnswer:
			clear(line)
			return api.Secret{}, usagef("%s: the line is too long for a PIN", f.name)
		}
		line = append(line, b[0])
	}
}

// ttyPINs asks at the terminal.
type ttyPINs struct{}

// newPINAttempts is how often a new PIN may be typed before the person has to start again.
const newPINAttempts = 3

func (ttyPINs) pin(ctx context.Context, p api.Prompt) (api.Secret, error) {
	f, err := openTTY()
	if err != nil {
		return api.Secret{}, &api.Error{
			Code: api.CodePINRequired, Key: p.Key,
			Message: "a PIN is needed and there is no terminal to ask at",
			Hint:    "give it on a file descriptor: --pin-fd 3 3<file",
		}
	}
	defer f.Close()
	question := p.Message
	if p.Kind != api.PromptNewPIN {
		line, err := readTTY(ctx, f, question+": ", false)
		return api.NewSecret(line), err
	}
	if p.MinLength > 0 {
		question += fmt.Sprintf(" (at least %d characters)", p.MinLength)
	}
	for range newPINAttempts {
		line, err := readTTY(ctx, f, question+": ", false)
		if err != nil {
			return api.Secret{}, err
		}
		if n := utf8.RuneCount(line); n < int(p.MinLength) {
			clear(line)
			fmt.Fprintf(f, "That has only %d characters.\n", n)
			continue
		}
		again, err := readTTY(ctx, f, "The same again: ", false)
		same := string(line) == string(again)
		clear(again)
		if err == nil && same {
			return api.NewSecret(line), nil
		}
		clear(line)
		if err != nil {
			return api.Secret{}, err
		}
		fmt.Fprint(f, "The two differ.\n")
	}
	return api.Secret{}, errGaveUp
}
