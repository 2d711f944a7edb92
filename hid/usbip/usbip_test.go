package usbip_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/hid/usbip"
)

// echo is an authenticator that answers with what it was asked.
type echo struct{}

func (echo) CBOR(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
	return request, nil
}

func (echo) MSG(_ context.Context, apdu []byte, _ func(byte)) ([]byte, error) { return apdu, nil }

func TestDeviceList(t *testing.T) {
	h := newHost(t, connect(t, newDevice(t, usbip.Config{Version: 0x0123})))
	for range 2 { // the same connection may ask again
		if code, status := h.operation(0x8005, nil); code != 5 || status != 0 {
			t.Fatalf("the list is answered by %#x with status %d", code, status)
		}
		if n := binary.BigEndian.Uint32(h.receive(4)); n != 1 {
			t.Fatalf("%d devices, want 1", n)
		}
		device := h.receive(312)
		if got := string(bytes.TrimRight(device[256:288], "\x00")); got != "1-1" {
			t.Errorf("bus id %q, want 1-1", got)
		}
		if got := binary.BigEndian.Uint32(device[296:]); got != 2 {
			t.Errorf("speed %d, want 2, which is full speed", got)
		}
		want := []byte{0x12, 0x09, 0xF0, 0xBD, 0x01, 0x23, 0, 0, 0, 1, 1, 1}
		if got := device[300:]; !bytes.Equal(got, want) {
			t.Errorf("numbers %x, want %x", got, want)
		}
		if got := h.receive(4); !bytes.Equal(got, []byte{3, 0, 0, 0}) {
			t.Errorf("interface %x, want that of a HID device", got)
		}
	}
}

func TestDescriptors(t *testing.T) {
	h := newHost(t, connect(t, newDevice(t, usbip.Config{Name: "Schlüssel 🔑", Serial: "0042", VendorID: 0x1050, ProductID: 0x0407, Version: 0x0543})))
	h.attach()
	get := func(kind byte, value, index uint16) []byte {
		t.Helper()
		r := h.control(kind, 6, value, index, 4096, nil)
		if r.status != 0 {
			t.Fatalf("descriptor %#x: status %d", value, r.status)
		}
		return r.data
	}
	want := []byte{18, 1, 0, 2, 0, 0, 0, 64, 0x50, 0x10, 0x07, 0x04, 0x43, 0x05, 1, 2, 3, 1}
	if got := get(0x80, 0x0100, 0); !bytes.Equal(got, want) {
		t.Errorf("device descriptor %x, want %x", got, want)
	}
	if r := h.control(0x80, 6, 0x0100, 0, 8, nil); !bytes.Equal(r.data, want[:8]) {
		t.Errorf("the first 8 bytes are %x, want %x", r.data, want[:8])
	}

	configuration := get(0x80, 0x0200, 0)
	if got := int(binary.LittleEndian.Uint16(configuration[2:])); got != len(configuration) {
		t.Errorf("total length %d of %d bytes", got, len(configuration))
	}
	var kinds, endpoints []byte
	for rest := configuration; len(rest) > 0; rest = rest[rest[0]:] {
		if rest[0] < 2 || int(rest[0]) > len(rest) {
			t.Fatalf("a descriptor of length %d in %x", rest[0], rest)
		}
		kinds = append(kinds, rest[1])
		if rest[1] == 5 {
			endpoints = append(endpoints, rest[2], rest[3])
		}
	}
	if !bytes.Equal(kinds, []byte{2, 4, 0x21, 5, 5}) || !bytes.Equal(endpoints, []byte{0x81, 3, 0x01, 3}) {
		t.Errorf("descriptors %x with endpoints %x", kinds, endpoints)
	}

	report := get(0x81, 0x2200, 0)
	if got := int(binary.LittleEndian.Uint16(configuration[9+9+7:])); got != len(report) {
		t.Errorf("the HID descriptor tells of %d bytes of report descriptor, there are %d", got, len(report))
	}
	if got := get(0x81, 0x2100, 0); !bytes.Equal(got, configuration[18:27]) {
		t.Errorf("HID descriptor %x, want the one of the configuration", got)
	}
	collections, err := hid.ParseDescriptor(report)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := hid.FIDOCollection(collections); !ok || c.InputSize != 64 || c.OutputSize != 64 {
		t.Errorf("report descriptor of %+v", collections)
	}

	if got := get(0x80, 0x0300, 0); !bytes.Equal(got, []byte{4, 3, 9, 4}) {
		t.Errorf("languages %x", got)
	}
	for number, want := range map[uint16]string{1: "fobd", 2: "Schlüssel 🔑", 3: "0042"} {
		b := get(0x80, 0x0300|number, 0x0409)
		var units []uint16
		for i := 2; i < len(b); i += 2 {
			units = append(units, binary.LittleEndian.Uint16(b[i:]))
		}
		if got := string(utf16.Decode(units)); got != want || int(b[0]) != len(b) {
			t.Errorf("string %d is %q, want %q", number, got, want)
		}
	}
}

func TestStandardRequests(t *testing.T) {
	h := newHost(t, connect(t, newDevice(t, usbip.Config{})))
	h.attach()
	const stall = -32
	for _, c := range []struct {
		name         string
		kind, code   byte
		value, index uint16
		data         []byte // to the device; nil asks for an answer
		status       int32
		want         []byte
	}{
		{"get configuration", 0x80, 8, 0, 0, nil, 0, []byte{0}},
		{"an interrupt endpoint before the configuration", 0x02, 3, 0, 0x81, nil, 0, nil},
		{"set configuration", 0x00, 9, 1, 0, nil, 0, nil},
		{"get configuration 1", 0x80, 8, 0, 0, nil, 0, []byte{1}},
		{"a configuration that is not there", 0x00, 9, 2, 0, nil, stall, nil},
		{"status of the device", 0x80, 0, 0, 0, nil, 0, []byte{0, 0}},
		{"status of the interface", 0x81, 0, 0, 0, nil, 0, []byte{0, 0}},
		{"status of endpoint 0", 0x82, 0, 0, 0, nil, 0, []byte{0, 0}},
		{"status after the configuration", 0x82, 0, 0, 0x81, nil, 0, []byte{0, 0}},
		{"halt", 0x02, 3, 0, 0x81, nil, 0, nil},
		{"status of a halted endpoint", 0x82, 0, 0, 0x81, nil, 0, []byte{1, 0}},
		{"the other endpoint", 0x82, 0, 0, 0x01, nil, 0, []byte{0, 0}},
		{"clear halt", 0x02, 1, 0, 0x81, nil, 0, nil},
		{"status of a cleared endpoint", 0x82, 0, 0, 0x81, nil, 0, []byte{0, 0}},
		{"halt an endpoint that is not there", 0x02, 3, 0, 0x82, nil, stall, nil},
		{"status of an endpoint that is not there", 0x82, 0, 0, 0x05, nil, stall, nil},
		{"remote wakeup", 0x00, 3, 1, 0, nil, stall, nil},
		{"get interface", 0x81, 10, 0, 0, nil, 0, []byte{0}},
		{"set interface", 0x01, 11, 0, 0, nil, 0, nil},
		{"an alternate setting that is not there", 0x01, 11, 1, 0, nil, stall, nil},
		{"an interface that is not there", 0x81, 10, 0, 1, nil, stall, nil},
		{"set address", 0x00, 5, 9, 0, nil, 0, nil},
		{"set idle", 0x21, 10, 0x0700, 0, nil, 0, nil},
		{"get idle", 0xA1, 2, 0, 0, nil, 0, []byte{7}},
		{"set protocol of a boot device", 0x21, 11, 0, 0, nil, stall, nil},
		{"get report", 0xA1, 1, 0x0100, 0, nil, stall, nil},
		{"device qualifier of a full-speed device", 0x80, 6, 0x0600, 0, nil, stall, nil},
		{"binary object store", 0x80, 6, 0x0F00, 0, nil, stall, nil},
		{"a second configuration", 0x80, 6, 0x0201, 0, nil, stall, nil},
		{"a string that is not there", 0x80, 6, 0x0303, 0x0409, nil, stall, nil},
		{"report descriptor of no interface", 0x81, 6, 0x2200, 1, nil, stall, nil},
		{"set descriptor", 0x00, 7, 0x0100, 0, []byte{1, 2}, stall, nil},
		{"vendor request", 0xC0, 1, 0, 0, nil, stall, nil},
		{"a report that is too short", 0x21, 9, 0x0200, 0, []byte{1}, stall, nil},
		{"a feature report", 0x21, 9, 0x0300, 0, make([]byte, 64), stall, nil},
	} {
		r := h.control(c.kind, c.code, c.value, c.index, 64, c.data)
		if r.status != c.status || !bytes.Equal(r.data, c.want) {
			t.Errorf("%s: status %d, %x; want %d, %x", c.name, r.status, r.data, c.status, c.want)
		}
	}
}

func TestCTAPHIDThroughTheEndpoints(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	served := make(chan error, 1)
	go func() { served <- ctaphid.NewServer(echo{}, ctaphid.ServerConfig{}).Serve(t.Context(), key) }()
	device := newHostDevice(attached(t, key))
	c, err := ctaphid.Open(t.Context(), device)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 57, 58, 1000, 7609} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		got, err := c.CBOR(t.Context(), want, nil)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes come back as %d, %v", size, len(got), err)
		}
	}
	if err := device.Close(); err != nil {
		t.Error(err)
	}
	if err := key.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestReportOverTheControlEndpoint(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	h := attached(t, key)
	want := bytes.Repeat([]byte{5}, 64)
	if r := h.control(0x21, 9, 0x0200, 0, 0, want); r.status != 0 || r.length != 64 {
		t.Errorf("set report: %+v", r)
	}
	got := make([]byte, 64)
	if _, err := key.Read(got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Read: %x, %v", got, err)
	}
}

func TestUnlink(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	h := attached(t, key)
	first, second := h.submit(1, nil, nil, 64), h.submit(1, nil, nil, 64)
	sequence := h.unlink(first)
	if got := h.answer(); got.command != 4 || got.sequence != sequence || got.status != -104 {
		t.Errorf("unlink: %+v, want -104 (ECONNRESET)", got)
	}
	report := bytes.Repeat([]byte{3}, 64)
	if _, err := key.Write(report); err != nil {
		t.Fatal(err)
	}
	if got := h.answer(); got.command != 3 || got.sequence != second || !bytes.Equal(got.data, report) {
		t.Errorf("%+v, want the report at the poll that was not cancelled", got)
	}
	for _, victim := range []uint32{first, second, 12345} {
		h.unlink(victim)
		if got := h.answer(); got.command != 4 || got.status != 0 {
			t.Errorf("unlink of what does not wait: %+v, want status 0", got)
		}
	}
}

func TestUnlinkOfAReportThatTheKeyDoesNotTake(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	h := attached(t, key)
	var last uint32
	for range usbip.QueueLength + 2 { // the pipe holds as many; the rest waits
		last = h.submit(1, nil, make([]byte, 64), 0)
	}
	for range usbip.QueueLength {
		if got := h.answer(); got.status != 0 || got.length != 64 {
			t.Fatalf("%+v, want it taken", got)
		}
	}
	h.unlink(last)
	if got := h.answer(); got.command != 4 || got.status != -104 {
		t.Errorf("unlink: %+v, want -104", got)
	}
	for range usbip.QueueLength + 1 {
		if _, err := key.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.answer(); got.command != 3 || got.status != 0 || got.sequence != last-1 {
		t.Errorf("%+v, want the report that waited", got)
	}
	wantTimeout(t, key)
}

func TestHaltedEndpointsStall(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	h := attached(t, key)
	if h.submit(1, nil, make([]byte, 63), 0); h.answer().status != -32 {
		t.Error("a short report is taken")
	}
	if h.submit(1, nil, make([]byte, 64), 0); h.answer().status != -32 {
		t.Error("a halted endpoint takes a report")
	}
	h.control(0x02, 1, 0, 0x01, 0, nil)
	if h.submit(1, nil, make([]byte, 64), 0); h.answer().status != 0 {
		t.Error("an endpoint whose halt was cleared takes no report")
	}
	h.control(0x02, 3, 0, 0x81, 0, nil)
	if h.submit(1, nil, nil, 64); h.answer().status != -32 {
		t.Error("a halted endpoint can be polled")
	}
	if h.submit(2, nil, nil, 64); h.answer().status != -32 {
		t.Error("an endpoint that is not there can be polled")
	}
}

func TestPendingTransfersAreBounded(t *testing.T) {
	h := attached(t, newDevice(t, usbip.Config{}))
	for range usbip.MaxPending {
		h.submit(1, nil, nil, 64)
	}
	h.submit(1, nil, nil, 64)
	if got := h.answer(); got.status != -12 || got.sequence != h.next {
		t.Errorf("one more than the limit: %+v, want -12 (ENOMEM)", got)
	}
	if r := h.control(0x80, 8, 0, 0, 1, nil); r.status != 0 {
		t.Errorf("the device does not answer any more: %+v", r)
	}
}

func TestOneHostAtATime(t *testing.T) {
	var log []bool
	d := newDevice(t, usbip.Config{Attached: func(on bool) { log = append(log, on) }})
	first := newHost(t, connect(t, d))
	if code, status := first.operation(0x8003, busID("2-1")); code != 3 || status != 4 {
		t.Errorf("a device that is not there: %#x with status %d, want 4", code, status)
	}
	first.attach()
	second := newHost(t, connect(t, d))
	if code, status := second.operation(0x8003, busID(usbip.BusID)); code != 3 || status != 2 {
		t.Errorf("a second host: %#x with status %d, want 2", code, status)
	}
	_ = first.conn.Close()
	for { // until the first session is over
		if _, status := second.operation(0x8003, busID(usbip.BusID)); status == 0 {
			break
		}
	}
	second.receive(312)
	second.configure()
	_ = d.Close()
	if len(log) != 4 || !log[0] || log[1] || !log[2] || log[3] {
		t.Errorf("Attached was called with %v", log)
	}
}

// A kernel where no program has the key open does not poll.
func TestHostThatDoesNotPoll(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	report := make([]byte, 64)
	if _, err := key.Write(report); err != nil {
		t.Errorf("Write without a host: %v", err)
	}
	h := attached(t, key)
	start := time.Now()
	for i := range 3 * usbip.QueueLength {
		report[0] = byte(i)
		if _, err := key.Write(report); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the key waited %v", took)
	}
	for i := range usbip.QueueLength {
		h.submit(1, nil, nil, 64)
		if got, want := h.answer().data[0], byte(2*usbip.QueueLength+i); got != want {
			t.Fatalf("report %d, want %d: the newest are kept", got, want)
		}
	}
}

func TestWriteWaitsForAHostThatIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newDevice(t, usbip.Config{})
		h := attached(t, key)
		report := make([]byte, 64)
		for range usbip.QueueLength {
			_, _ = key.Write(report)
		}
		written := make(chan struct{})
		go func() {
			_, _ = key.Write(report)
			close(written)
		}()
		time.Sleep(100 * time.Millisecond)
		for range usbip.QueueLength + 1 {
			h.submit(1, nil, nil, 64)
			h.answer()
		}
		<-written
		if _, err := key.Write(make([]byte, 63)); !errors.Is(err, hid.ErrReportSize) {
			t.Errorf("a short report: %v", err)
		}
		_ = key.Close()
	})
}

func TestCloseEndsEverything(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	h := attached(t, key)
	h.submit(1, nil, nil, 64)
	idle := newHost(t, connect(t, key))
	read := make(chan error, 1)
	go func() {
		_, err := key.Read(make([]byte, 64))
		read <- err
	}()
	if err := key.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %v, want %v", err, os.ErrClosed)
	}
	if _, err := key.Write(make([]byte, 64)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v, want %v", err, os.ErrClosed)
	}
	for _, h := range []*host{h, idle} {
		if _, err := h.tryAnswer(); err == nil {
			t.Error("a connection outlives the key")
		}
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := key.ServeConn(t.Context(), theirs); err == nil {
		t.Error("a closed key serves")
	}
}

func TestConfig(t *testing.T) {
	for name, config := range map[string]usbip.Config{
		"report too long":   {InputSize: 65},
		"report too short":  {OutputSize: 7},
		"serial":            {Serial: "é"},
		"control character": {Name: "a\nb"},
		"long name":         {Name: strings.Repeat("x", 127)},
		"long maker":        {Manufacturer: strings.Repeat("🔑", 64)},
	} {
		if _, err := usbip.New(config); err == nil || !strings.HasPrefix(err.Error(), "usbip: ") {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
	if _, err := usbip.New(usbip.Config{Manufacturer: strings.Repeat("🔑", 63), Serial: strings.Repeat("x", 126), InputSize: 8}); err != nil {
		t.Error(err)
	}
}

func TestListenOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:3240", "8.8.8.8:0", "localhost:3240", ":3240", "127.0.0.1", ""} {
		if l, err := usbip.Listen(address); err == nil || !strings.HasPrefix(err.Error(), "usbip: ") {
			t.Errorf("%q: %v, %v; want an error", address, l, err)
		}
	}
	l, err := usbip.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	testServe(t, l, 0)
}

func TestServeOnUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	testServe(t, l, 40) // more than are served at a time: the rest waits
}

// testServe lets many hosts ask for the list while one has the device, and closes the key.
func testServe(t *testing.T, l net.Listener, idle int) {
	t.Helper()
	key := newDevice(t, usbip.Config{})
	served := make(chan error, 1)
	go func() { served <- key.Serve(t.Context(), l) }()
	dial := func() net.Conn {
		conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	owner := newHost(t, dial())
	owner.attach()
	owner.configure()
	for range 10 {
		h := newHost(t, dial())
		if _, status := h.operation(0x8003, busID(usbip.BusID)); status != 2 {
			t.Errorf("status %d, want busy", status)
		}
		_ = h.conn.Close()
	}
	for range idle {
		newHost(t, dial())
	}
	if r := owner.control(0x80, 8, 0, 0, 1, nil); !bytes.Equal(r.data, []byte{1}) {
		t.Errorf("the owner gets %+v", r)
	}
	if err := key.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := usbip.Listen("[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- newDevice(t, usbip.Config{}).Serve(ctx, l) }()
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve: %v, want %v", err, context.Canceled)
	}
}

// lastFeature is a device that gives back the last feature report.
type lastFeature struct{ last []byte }

func (l *lastFeature) SetFeature(report []byte) error {
	l.last = append([]byte(nil), report...)
	return nil
}

func (l *lastFeature) GetFeature(report []byte) (int, error) { return copy(report, l.last), nil }

func TestFeatureReports(t *testing.T) {
	keyboard := []byte{
		0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x75, 0x08, 0x95, 0x08, 0x09, 0x01, 0x81, 0x02,
		0x95, 0x01, 0x09, 0x02, 0x91, 0x02, 0x95, 0x08, 0x09, 0x03, 0xB1, 0x02, 0xC0,
	}
	h := attached(t, newDevice(t, usbip.Config{Descriptor: keyboard, Feature: &lastFeature{}}))
	h.configure()
	want := []byte("12345678")
	if r := h.control(0x21, 9, 0x300, 0, 8, want); r.status != 0 {
		t.Fatalf("SET_REPORT: %+v", r)
	}
	if r := h.control(0xA1, 1, 0x300, 0, 8, nil); r.status != 0 || !bytes.Equal(r.data, want) {
		t.Errorf("GET_REPORT: %+v", r)
	}
	for name, r := range map[string]reply{
		"a short one":              h.control(0x21, 9, 0x300, 0, 7, want[:7]),
		"one with a number":        h.control(0x21, 9, 0x301, 0, 8, want),
		"another interface":        h.control(0xA1, 1, 0x300, 1, 8, nil),
		"an input report":          h.control(0xA1, 1, 0x100, 0, 8, nil),
		"an output report of zero": h.control(0x21, 9, 0x200, 0, 0, nil),
	} {
		if r.status == 0 {
			t.Errorf("%s is taken", name)
		}
	}
	// A FIDO key has none.
	h = attached(t, newDevice(t, usbip.Config{}))
	h.configure()
	if r := h.control(0xA1, 1, 0x300, 0, 8, nil); r.status == 0 {
		t.Errorf("a FIDO key's: %+v", r)
	}
	if _, err := usbip.New(usbip.Config{Descriptor: []byte{0x05}}); err == nil {
		t.Error("half a descriptor is taken")
	}
}
