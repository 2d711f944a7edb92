package httpapi_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/httpapi"
)

// What has no end is not read to its end: bodies in chunks, and headers.
func TestEndlessRequests(t *testing.T) {
	for name, c := range map[string]struct {
		head, more string
		status     int
	}{
		"body":         {"POST /v1/touch HTTP/1.1\r\nHost: fobd\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "400\r\n" + strings.Repeat(" ", 1024) + "\r\n", http.StatusRequestEntityTooLarge},
		"lease":        {"POST /v1/lease-reports HTTP/1.1\r\nHost: fobd\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n" + strings.Repeat(" ", 1024) + "\r\n", http.StatusRequestEntityTooLarge},
		"answer":       {"POST /v1/prompts/x HTTP/1.1\r\nHost: fobd\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n" + strings.Repeat("1", 1024) + "\r\n", http.StatusRequestEntityTooLarge},
		"headers":      {"POST /v1/touch HTTP/1.1\r\nHost: fobd\r\n", "X-A: " + strings.Repeat("a", 1000) + "\r\n", http.StatusRequestHeaderFieldsTooLarge},
		"request line": {"POST /v1/", strings.Repeat("a", 1000), http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, engine{do: touched}, httpapi.Config{MaxBody: 64 << 10})
			conn, err := net.Dial("unix", s.socket)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, c.head); err != nil {
				t.Fatal(err)
			}
			sent := make(chan int, 1)
			go func() {
				n := 0
				for ; n < 100<<20; n += len(c.more) {
					if _, err := io.WriteString(conn, c.more); err != nil {
						break
					}
				}
				sent <- n
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("got %d, want %d", resp.StatusCode, c.status)
			}
			conn.Close()
			if n := <-sent; n > 4<<20 {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}
