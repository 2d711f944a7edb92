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
	"os"
	"syscall"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// LeaseReports fetches a lease as a file: a socket of type SEQPACKET whose packets are reports of CTAPHID of
// 64 bytes (CTAP 2.2, section 11.2.4). When the lease is over there is nothing more to read; closing
// the file does not end the lease. The errors are those of [Client.Do].
func (c *Client) LeaseReports(ctx context.Context, lease string) (*os.File, error) {
	body, err := json.Marshal(api.LeaseReportsRequest{Lease: lease})
	if err != nil {
		return nil, fmt.Errorf("client: lease: %w", err)
	}
	conn, err := c.dial(ctx, "", "")
	if err != nil {
		return nil, &ConnectError{Socket: c.socket, Err: err}
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/v1/lease-reports", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Content-Type", typeJSON)
	rights := &rightsReader{}
	if socket, ok := conn.(*net.UnixConn); ok {
		rights.conn = socket
	} else {
		return nil, errors.New("client: a file descriptor comes through a Unix socket only")
	}
	err = req.Write(conn)
	if err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReader(rights), req); err == nil {
			_, err = wholeAnswer(resp)
		}
	}
	file := rights.take()
	switch {
	case err != nil && ctx.Err() != nil:
		err = fmt.Errorf("client: lease: %w", context.Cause(ctx))
	case err == nil && file == nil:
		err = errors.New("client: fobd has sent no file descriptor")
	case err == nil:
		return file, nil
	}
	if file != nil {
		_ = file.Close()
	}
	return nil, err
}

// rightsReader reads from a Unix socket and keeps the file descriptors that come with the bytes.
type rightsReader struct {
	conn  *net.UnixConn
	files []*os.File
}

// Read implements [io.Reader].
func (r *rightsReader) Read(p []byte) (int, error) {
	oob := make([]byte, syscall.CmsgSpace(4*4))
	n, oobn, _, _, err := r.conn.ReadMsgUnix(p, oob)
	n, oobn = max(n, 0), max(oobn, 0) // with an error they may be below
	if messages, broken := syscall.ParseSocketControlMessage(oob[:oobn]); broken == nil {
		for _, m := range messages {
			fds, _ := syscall.ParseUnixRights(&m) // of other kinds of messages there are none
			for _, fd := range fds {
				r.files = append(r.files, os.NewFile(uintptr(fd), "lease"))
			}
		}
	}
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// take returns the only file that has come, or nil, and closes what is too much.
func (r *rightsReader) take() *os.File {
	if len(r.files) == 1 {
		return r.files[0]
	}
	for _, file := range r.files {
		_ = file.Close()
	}
	return nil
}
