package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/fobd/fobd/daemon/api"
)

// maxLine bounds one line of a stream, and one answer, in bytes.
const maxLine = 1 << 20

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeRaw    = "application/octet-stream"
)

// Do runs the operation op (one of the api.Op constants). The request may be nil for
// an operation without members; the answer is decoded into result unless that is nil.
// With a nil ui the daemon is told that nobody can be asked.
//
// The error is an [*api.Error] when the daemon answered with one, a [*ConnectError]
// when it could not be reached, the context's error when ctx ended, or the error of
// ui when that failed.
func (c *Client) Do(ctx context.Context, op string, request, result any, ui Prompter) error {
	body := []byte("{}")
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return fmt.Errorf("client: request of %s: %w", op, err)
		}
	}
	accept := typeJSON
	if ui != nil {
		accept = typeNDJSON
	}
	resp, err := c.send(ctx, http.MethodPost, "/v1/"+url.PathEscape(op), exchange{accept, typeJSON, body})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()

	var answer json.RawMessage
	if ui == nil {
		answer, err = wholeAnswer(resp)
	} else {
		answer, err = c.stream(ctx, resp, ui)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("client: %s: %w", op, context.Cause(ctx))
	case err != nil:
		return err
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("client: answer to %s: %w", op, err)
	}
	return nil
}

// exchange is what goes and what shall come in one request. The body may be nil.
type exchange struct {
	accept, contentType string
	body                []byte
}

// send sends one request and returns the response, whatever its status is.
func (c *Client) send(ctx context.Context, method, path string, x exchange) (*http.Response, error) {
	var r io.Reader
	if x.body != nil {
		r = bytes.NewReader(x.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, r)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Accept", x.accept)
	if x.body != nil {
		req.Header.Set("Content-Type", x.contentType)
	}
	resp, err := c.http.Do(req)
	if err == nil {
		return resp, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: %w", context.Cause(ctx))
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || len(c.socket) > maxSocketPath {
		return nil, &ConnectError{Socket: c.socket, Err: err}
	}
	return nil, fmt.Errorf("client: fobd hung up: %w", reason(err))
}

// wholeAnswer reads a response that is one JSON value.
func wholeAnswer(resp *http.Response) (json.RawMessage, error) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxLine+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: fobd hung up: %w", err)
	case len(data) > maxLine:
		return nil, fmt.Errorf("client: answer is longer than %d bytes", maxLine)
	case resp.StatusCode < 300:
		return data, nil
	}
	var l line
	if err := json.Unmarshal(data, &l); err != nil || l.Error == nil {
		return nil, fmt.Errorf("client: unexpected answer %q: is something else than fobd listening there?", resp.Status)
	}
	return nil, l.Error
}

// line is [api.Line] as it is read.
type line struct {
	Prompt    *api.Prompt     `json:"prompt"`
	Withdrawn string          `json:"withdrawn"`
	Result    json.RawMessage `json:"result"`
	Error     *api.Error      `json:"error"`
}

// stream follows a streamed operation to its last line.
func (c *Client) stream(ctx context.Context, resp *http.Response, ui Prompter) (json.RawMessage, error) {
	p := newPrompts(ctx, c, ui)
	defer p.close()
	for l, err := range lines[line](resp.Body) {
		switch {
		case err != nil:
			return nil, err
		case l.Prompt != nil:
			p.open(*l.Prompt)
		case l.Withdrawn != "":
			p.withdraw(l.Withdrawn)
		case l.Error != nil:
			return nil, p.judge(l.Error)
		case l.Result != nil:
			return l.Result, nil
		case resp.StatusCode >= 300:
			return nil, fmt.Errorf("client: unexpected answer %q: is something else than fobd listening there?", resp.Status)
		}
	}
	return nil, fmt.Errorf("client: fobd ended the stream without a result: %w", io.ErrUnexpectedEOF)
}

// Events calls event for what is there now and then for every change, until ctx ends
// or event returns an error, and returns the reason. It also ends when the daemon
// stops; the error is then an [io.ErrUnexpectedEOF].
func (c *Client) Events(ctx context.Context, event func(api.Event) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", exchange{accept: typeNDJSON})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		_, err := wholeAnswer(resp)
		return err
	}
	for e, err := range lines[api.Event](resp.Body) {
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("client: events: %w", context.Cause(ctx))
			}
			return err
		}
		if err := event(e); err != nil {
			return err
		}
	}
	return fmt.Errorf("client: fobd ended the stream of events: %w", io.ErrUnexpectedEOF)
}

// OpenAPI fetches the daemon's own description of its interface (OpenAPI 3, JSON).
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/openapi.json", exchange{accept: typeJSON})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return wholeAnswer(resp)
}

// lines decodes a stream of JSON values, one a line, each at most maxLine bytes long.
func lines[T any](r io.Reader) func(yield func(T, error) bool) {
	return func(yield func(T, error) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 0, 4096), maxLine)
		for s.Scan() {
			if len(bytes.TrimSpace(s.Bytes())) == 0 {
				continue
			}
			var v T
			if err := json.Unmarshal(s.Bytes(), &v); err != nil {
				yield(v, fmt.Errorf("client: line of the stream: %w", err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			var zero T
			yield(zero, streamError(err))
		}
	}
}

func streamError(err error) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("client: line of the stream is longer than %d bytes", maxLine)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("client: %w", err)
	}
	return fmt.Errorf("client: fobd hung up: %w", reason(err))
}
