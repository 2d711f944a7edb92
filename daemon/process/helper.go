package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/hid"
)

// Limits of the conversation with a helper.
const (
	// patience is how long an answer is waited for: a file system can keep the helper waiting.
	patience = time.Second
	// maxLooks bounds the looks that a helper has not come back from.
	maxLooks = 64
	// maxMessage bounds an answer; a process can have 65,536 groups.
	maxMessage = 192 << 10
)

// question is asked in one packet, answered in one. Either PID or Node, a hidraw device or a socket, is set.
type question struct {
	ID   uint64 `json:"id"`
	PID  int    `json:"pid,omitempty"`
	Node string `json:"node,omitempty"`
}

type answer struct {
	ID      uint64       `json:"id"`
	Process *Process     `json:"process,omitempty"`
	Openers []hid.Opener `json:"openers,omitempty"`
}

// Serve answers the questions of a [Helper] until the connection, of whole packets, ends.
func Serve(conn net.Conn) error { return serve(conn, "/proc") }

func serve(conn net.Conn, proc string) error {
	var mu sync.Mutex // guards what is written
	free := make(chan struct{}, maxLooks)
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("process: %w", err)
		}
		var q question
		if err := json.Unmarshal(buf[:n], &q); err != nil {
			return fmt.Errorf("process: a question that is none: %w", err)
		}
		reply := func(a answer) {
			a.ID = q.ID
			packet, err := json.Marshal(a)
			if err != nil || len(packet) > maxMessage {
				packet, _ = json.Marshal(answer{ID: q.ID})
			}
			mu.Lock()
			defer mu.Unlock()
			_, _ = conn.Write(packet) // whoever is not there any more reads EOF
		}
		select {
		case free <- struct{}{}:
		default:
			reply(answer{})
			continue
		}
		go func() {
			defer func() { <-free }()
			var a answer
			switch {
			case q.PID > 0:
				p := read(proc, q.PID)
				a.Process = &p
			case strings.HasPrefix(q.Node, "/dev/hidraw"), strings.HasPrefix(q.Node, "socket:["):
				a.Openers = hid.Procfs(proc).Openers(q.Node)
			}
			reply(a)
		}()
	}
}

// Helper is another process that looks at processes for this one. Its methods may be called from several
// goroutines; what it does not tell in a second is not known.
type Helper struct {
	conn net.Conn

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan answer
}

var _ hid.Processes = (*Helper)(nil)

// NewHelper returns the helper at the other end of a connection of whole packets.
func NewHelper(conn net.Conn) *Helper {
	return &Helper{conn: conn, waiting: map[uint64]chan answer{}}
}

// Run receives the answers, until the helper ends or Close is called; its error is nil after Close.
func (h *Helper) Run() error {
	buf := make([]byte, maxMessage)
	for {
		n, err := h.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			return fmt.Errorf("process: the helper that looks at processes ended: %w", err)
		}
		var a answer
		if err := json.Unmarshal(buf[:n], &a); err != nil {
			return fmt.Errorf("process: the helper says what is no answer: %w", err)
		}
		h.mu.Lock()
		if c := h.waiting[a.ID]; c != nil {
			c <- a
			delete(h.waiting, a.ID)
		}
		h.mu.Unlock()
	}
}

// Close ends the helper.
func (h *Helper) Close() error { return h.conn.Close() }

// Look tells about a process.
func (h *Helper) Look(pid int) Process {
	if a := h.ask(question{PID: pid}); a.Process != nil {
		return *a.Process
	}
	return Process{}
}

// Name implements [hid.Processes].
func (h *Helper) Name(pid int) string { return h.Look(pid).Program }

// Openers implements [hid.Processes].
func (h *Helper) Openers(node string) []hid.Opener { return h.ask(question{Node: node}).Openers }

func (h *Helper) ask(q question) answer {
	c := make(chan answer, 1)
	h.mu.Lock()
	h.last++
	q.ID = h.last
	h.waiting[q.ID] = c
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.waiting, q.ID)
	}()
	packet, err := json.Marshal(q)
	if err != nil {
		return answer{}
	}
	if _, err := h.conn.Write(packet); err != nil {
		return answer{}
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case a := <-c:
		return a
	case <-timeout.C:
		return answer{}
	}
}
