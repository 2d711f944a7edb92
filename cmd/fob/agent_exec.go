package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// execPrompter runs a program for each prompt. What the prompt says goes to its standard input,
// never into its arguments or environment, where other users could see it.
type execPrompter struct {
	program string
	err     io.Writer

	wg   sync.WaitGroup
	mu   sync.Mutex // guards open
	open map[string]context.CancelFunc
}

// close ends all programs and waits for them.
func (e *execPrompter) close() {
	e.mu.Lock()
	for _, end := range e.open {
		end()
	}
	e.open = nil
	e.mu.Unlock()
	e.wg.Wait()
}

// killDelay is how long a program may take to end after SIGTERM.
const killDelay = 2 * time.Second

// command prepares the program for a prompt.
func (e *execPrompter) command(ctx context.Context, p api.Prompt) (*exec.Cmd, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, e.program)
	cmd.Stdin = bytes.NewReader(append(data, '\n'))
	cmd.Stderr = e.err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	return cmd, nil
}

// Show implements client.Prompter.
func (e *execPrompter) Show(p api.Prompt) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd, err := e.command(ctx, p)
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		fmt.Fprintf(e.err, "fob: %s: %v\n", e.program, err)
		return
	}
	e.mu.Lock()
	if e.open == nil {
		e.open = make(map[string]context.CancelFunc)
	}
	e.open[p.ID] = cancel
	e.mu.Unlock()
	e.wg.Go(func() {
		_ = cmd.Wait() // how it ended is its own business
	})
}

// Withdraw implements client.Prompter.
func (e *execPrompter) Withdraw(id string) {
	e.mu.Lock()
	end := e.open[id]
	delete(e.open, id)
	e.mu.Unlock()
	if end != nil {
		end()
	}
}

// ask runs the program for a question and returns what it prints, at most maxAnswer bytes.
func (e *execPrompter) ask(ctx context.Context, p api.Prompt) ([]byte, error) {
	cmd, err := e.command(ctx, p)
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", e.program, err)
	}
	answer := make([]byte, 0, maxAnswer+2)
	n, err := io.ReadFull(out, answer[:cap(answer)])
	answer = answer[:n]
	_, _ = io.Copy(io.Discard, out)
	if waited := cmd.Wait(); waited != nil {
		clear(answer)
		var exit *exec.ExitError
		if errors.As(waited, &exit) {
			return nil, errGaveUp
		}
		return nil, fmt.Errorf("%s: %w", e.program, waited)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(answer)
		return nil, fmt.Errorf("%s: %w", e.program, err)
	}
	if n > 0 && answer[n-1] == '\n' {
		answer = answer[:n-1]
	}
	if len(answer) > maxAnswer {
		clear(answer)
		return nil, fmt.Errorf("%s: the answer is longer than %d bytes", e.program, maxAnswer)
	}
	return answer, nil
}

// PIN implements client.Prompter.
func (e *execPrompter) PIN(ctx context.Context, p api.Prompt) (api.Secret, error) {
	answer, err := e.ask(ctx, p)
	return api.NewSecret(answer), err
}

// Choose implements client.Prompter.
func (e *execPrompter) Choose(ctx context.Context, p api.Prompt) (int, error) {
	answer, err := e.ask(ctx, p)
	if err != nil {
		return 0, err
	}
	i, err := strconv.Atoi(strings.TrimSpace(string(answer)))
	if err != nil || i < 0 || i >= len(p.Choices) {
		return 0, fmt.Errorf("%s: the answer is not the index of one of %d choices", e.program, len(p.Choices))
	}
	return i, nil
}

// Confirm implements client.Prompter.
func (e *execPrompter) Confirm(ctx context.Context, p api.Prompt) (bool, error) {
	answer, err := e.ask(ctx, p)
	if err != nil {
		return false, err
	}
	switch strings.TrimSpace(string(answer)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s: the answer is neither true nor false", e.program)
}
