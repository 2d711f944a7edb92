// Package pcsctest starts a real pcscd with vsmartcard's virtual readers for a test, in
// network and mount namespaces of their own: it meets neither the machine's own pcscd nor
// another test's. It needs root, pcscd, vsmartcard's vpcd driver, and util-linux.
package pcsctest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/pcsc/vpcd"
)

// The names that pcscd gives to the two virtual readers.
const (
	Reader       = "Virtual PCD 00 00"
	SecondReader = "Virtual PCD 00 01"
)

// patience bounds everything that the programs do.
const patience = 20 * time.Second

// driver is where Debian's vsmartcard-vpcd has it.
const driver = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"

// port is where vpcd listens for the first reader's card; the next is the second's.
const port = 0x8C7B

// script runs in the namespaces, and obeys words on its standard input. When that ends, as
// when the test dies, so does pcscd.
const script = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/pcscd
mount --bind "$1" /run/pcscd
ip link set lo up
pid=
echo ready
while read -r word; do
	case $word in
	start)
		rm -f /run/pcscd/pcscd.comm /run/pcscd/pcscd.pid
		pcscd --foreground -c "$2" >>"$3" 2>&1 </dev/null & pid=$!;;
	TERM|KILL|STOP|CONT) kill -$word $pid;;
	wait) wait $pid || :; pid=;;
	esac
	echo done
done
[ -z "$pid" ] || kill -KILL $pid`

// Stack is a pcscd with two virtual readers. Its methods are for the test's own goroutine,
// and fail the test when something goes wrong; Command may be used from any.
type Stack struct {
	// Socket is the path of pcscd's socket, which is reached from outside of the
	// namespaces, too.
	Socket string

	t     testing.TB
	shell *exec.Cmd
	words io.Writer
	said  *bufio.Reader
	log   string
	cards [2]*inserted
}

// inserted is a card that is served.
type inserted struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	err    error // after done
}

// Start starts pcscd, and ends it with the test. Where that is impossible it skips the
// test, or fails it if the environment variable CI is set.
func Start(t testing.TB) *Stack {
	t.Helper()
	require(t)
	// Not t.TempDir, whose path may be too long for a socket.
	dir, err := os.MkdirTemp("/tmp", "pcsc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	run, config := filepath.Join(dir, "run"), filepath.Join(dir, "config")
	for _, d := range []string{run, config} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	reader := fmt.Sprintf("FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:0x%X\nLIBPATH %s\nCHANNELID 0x%X\n", port, driver, port)
	if err := os.WriteFile(filepath.Join(config, "vpcd"), []byte(reader), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Stack{t: t, Socket: filepath.Join(run, "pcscd.comm"), log: filepath.Join(dir, "log")}
	s.shell = exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script, "sh", run, config, s.log)
	input, err := s.shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := s.shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	s.shell.Stderr = &complaints
	s.words, s.said = input, bufio.NewReader(output)
	if err := s.shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.remove()
		input.Close()
		_ = s.shell.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(s.log)
			t.Logf("pcscd's log:\n%s\nthe shell's:\n%s", text, complaints.String())
		}
	})
	s.expect("ready")
	s.Restart()
	return s
}

// require skips or fails where the programs are not there.
func require(t testing.TB) {
	t.Helper()
	missing := ""
	for _, name := range []string{"pcscd", "unshare", "nsenter", "ip", "mount"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = name + " is not installed"
		}
	}
	if _, err := os.Stat(driver); err != nil {
		missing = "vsmartcard-vpcd is not installed"
	}
	if os.Getuid() != 0 {
		missing = "not root"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("pcsctest: %s", missing)
	default:
		t.Skipf("pcsctest: %s", missing)
	}
}

func (s *Stack) expect(want string) {
	s.t.Helper()
	if line, err := s.said.ReadString('\n'); err != nil || line != want+"\n" {
		s.t.Fatalf("pcsctest: the shell said %q (%v), want %q", line, err, want)
	}
}

func (s *Stack) tell(word string) {
	s.t.Helper()
	if _, err := io.WriteString(s.words, word+"\n"); err != nil {
		s.t.Fatalf("pcsctest: %v", err)
	}
	s.expect("done")
}

// Restart starts pcscd after [Stack.Stop] or [Stack.Kill], without cards, and waits until
// it has its readers.
func (s *Stack) Restart() {
	s.t.Helper()
	s.tell("start")
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	s.await(ctx, func(readers []pcsc.Reader) bool { return len(readers) == 2 })
}

// Stop ends pcscd as systemd does. Cards are out of the readers then.
func (s *Stack) Stop() {
	s.t.Helper()
	s.end("TERM")
}

// Kill ends pcscd in the middle of whatever it does, as a crash does.
func (s *Stack) Kill() {
	s.t.Helper()
	s.end("KILL")
}

func (s *Stack) end(signal string) {
	s.t.Helper()
	s.tell(signal)
	s.tell("wait")
	s.remove()
}

// Freeze makes pcscd stop in its tracks, with its connections open, until [Stack.Thaw].
func (s *Stack) Freeze() {
	s.t.Helper()
	s.tell("STOP")
}

// Thaw ends a [Stack.Freeze].
func (s *Stack) Thaw() {
	s.t.Helper()
	s.tell("CONT")
}

// Command prepares a program to be run where it finds this pcscd at the usual place, such as
// "ykman", "oath", "accounts", "list". It is killed when ctx ends.
func (s *Stack) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	target := strconv.Itoa(s.shell.Process.Pid)
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", target, "--net", "--mount", "--root", "--", name}, args...)...)
}

// Client returns a client of this pcscd.
func (s *Stack) Client() *pcsc.Client { return &pcsc.Client{Socket: s.Socket} }

// Insert puts a card into the first reader, where none may be, and returns when pcscd has
// given it power. The card's methods are called from another goroutine.
func (s *Stack) Insert(card vpcd.Card) {
	s.t.Helper()
	s.InsertAt(0, card)
}

// Remove takes the card out of the first reader, and returns when pcscd has seen that.
func (s *Stack) Remove() {
	s.t.Helper()
	s.RemoveAt(0)
}

// InsertAt is Insert for one of the two readers, 0 or 1.
func (s *Stack) InsertAt(reader int, card vpcd.Card) {
	s.t.Helper()
	if s.cards[reader] != nil {
		s.t.Fatalf("pcsctest: there is a card in reader %d", reader)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	conn, err := s.dial(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port+reader)))
	if err != nil {
		s.t.Fatalf("pcsctest: %v", err)
	}
	c := &inserted{}
	serving, end := context.WithCancel(context.Background())
	c.cancel = end
	s.cards[reader] = c
	c.done.Go(func() { c.err = vpcd.Serve(serving, conn, card) })
	s.await(ctx, func(readers []pcsc.Reader) bool {
		return len(readers) == 2 && readers[reader].State.Has(pcsc.StatePresent|pcsc.StatePowered)
	})
}

// RemoveAt is Remove for one of the two readers, 0 or 1.
func (s *Stack) RemoveAt(reader int) {
	s.t.Helper()
	c := s.cards[reader]
	if c == nil {
		s.t.Fatalf("pcsctest: there is no card in reader %d", reader)
	}
	s.take(reader)
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	s.await(ctx, func(readers []pcsc.Reader) bool {
		return len(readers) == 2 && !readers[reader].State.Has(pcsc.StatePresent)
	})
}

// take takes a card out, and does not ask pcscd.
func (s *Stack) take(reader int) {
	if c := s.cards[reader]; c != nil {
		c.cancel()
		c.done.Wait()
		s.cards[reader] = nil
	}
}

func (s *Stack) remove() {
	for reader := range s.cards {
		s.take(reader)
	}
}

// await waits until pcscd's readers are as wanted.
func (s *Stack) await(ctx context.Context, wanted func([]pcsc.Reader) bool) {
	s.t.Helper()
	var last error
	for readers, err := range s.Client().Watch(ctx, pcsc.WatchConfig{}) {
		if last = err; err == nil && wanted(readers) {
			return
		}
	}
	s.t.Fatalf("pcsctest: pcscd has not seen what it should (%v)", last)
}
