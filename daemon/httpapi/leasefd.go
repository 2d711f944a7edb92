package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

// leaseReports is the handler of POST /v1/lease-reports: a lease as a file descriptor, which comes
// with the first byte of the answer (unix(7), SCM_RIGHTS). The connection is closed afterwards.
func (h *Handler) leaseReports(w http.ResponseWriter, r *http.Request, who policy.Actor) {
	body, e := h.readBody(w, r, h.cfg.MaxBody)
	if e != nil {
		fail(w, e)
		return
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		failWith(w, http.StatusUnsupportedMediaType, &api.Error{
			Code:    api.CodeInvalidRequest,
			Message: "cannot read " + quote(r.Header.Get("Content-Type")),
			Hint:    "send Content-Type: " + typeJSON,
		})
		return
	}
	var request api.LeaseReportsRequest
	if err := frontend.Decoder(body)(&request); err != nil {
		fail(w, invalid("the request cannot be read: %v", err))
		return
	}
	file, err := h.engine.LeaseReports(who, request.Lease)
	if err != nil {
		fail(w, daemon.ErrorOf(err))
		return
	}
	defer func() { _ = file.Close() }()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, daemon.ErrorOf(fmt.Errorf("httpapi: lease-reports: %w", err)))
		return
	}
	defer func() { _ = conn.Close() }()
	if counted, ok := conn.(*countedConn); ok {
		conn = counted.Conn
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		h.cfg.Log.Warn("a lease's file can be handed over through a Unix socket only", "program", who.Program, "pid", who.PID)
		return
	}
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: " + typeJSON + "\r\nContent-Length: 3\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{}\n"
	// A program that does not take the answer has hung up, and gets nothing.
	_ = socket.SetWriteDeadline(time.Now().Add(h.cfg.BodyTimeout))
	_, _, _ = socket.WriteMsgUnix([]byte(answer), unix.UnixRights(int(file.Fd())), nil)
}
