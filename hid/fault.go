package hid

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// FaultKind says what happens to a report.
type FaultKind int

// The kinds of faults.
const (
	// Drop loses the report; a write still succeeds.
	Drop FaultKind = iota + 1
	// Delay holds the report, and all after it, for Fault.Delay.
	Delay
	// Duplicate delivers it twice.
	Duplicate
	// Corrupt changes one byte, which the seed chooses.
	Corrupt
	// Reorder delivers it after the next one. If none follows, it waits for ever.
	Reorder
	// Disconnect unplugs the device instead of delivering it.
	Disconnect
	// Foreign delivers a report of another channel before it: a CTAPHID_KEEPALIVE or, to the device,
	// a CTAPHID_CANCEL.
	Foreign
	// Busy loses the report and answers it with ERR_CHANNEL_BUSY on its channel (CTAP 2.2, section
	// 11.2.9.1.6), if it begins a message; another one passes.
	Busy
)

// faultKinds are the names of the kinds.
var faultKinds = map[FaultKind]string{
	Drop: "drop", Delay: "delay", Duplicate: "duplicate", Corrupt: "corrupt", Reorder: "reorder",
	Disconnect: "disconnect", Foreign: "foreign", Busy: "busy",
}

func (k FaultKind) String() string {
	if name, ok := faultKinds[k]; ok {
		return name
	}
	return fmt.Sprintf("FaultKind(%d)", int(k))
}

// Direction is one way through a device.
type Direction int

// The directions.
const (
	FromDevice Direction = iota // reports that are read
	ToDevice                    // reports that are written
)

func (d Direction) String() string {
	switch d {
	case FromDevice:
		return "from device"
	case ToDevice:
		return "to device"
	}
	return fmt.Sprintf("Direction(%d)", int(d))
}

// Fault is something that goes wrong. The zero value of all but Kind means the first
// report from the device.
type Fault struct {
	Kind      FaultKind
	Direction Direction
	// After is the number of reports in that direction that pass before.
	After int
	// Count is the number of reports it happens to. 0 means one, a negative number all.
	Count int
	// Delay is for kind Delay. A write that would last [WriteTimeout] fails then.
	Delay time.Duration
}

// faultPlan finds the fault of a report. The first of several wins.
type faultPlan struct {
	single map[int]Fault // by After, for a Count of one: there may be thousands
	ranges []Fault
	random *rand.Rand
	next   int // number of the next report
}

func newFaultPlan(direction Direction, seed uint64, faults []Fault) *faultPlan {
	p := &faultPlan{single: map[int]Fault{}, random: rand.New(rand.NewPCG(seed, uint64(direction)))}
	for _, f := range faults {
		if f.Direction != direction {
			continue
		}
		if f.Count != 0 && f.Count != 1 {
			p.ranges = append(p.ranges, f)
		} else if _, taken := p.single[f.After]; !taken {
			p.single[f.After] = f
		}
	}
	return p
}

// fault returns the fault of the next report, of kind 0 if there is none.
func (p *faultPlan) fault() Fault {
	n := p.next
	p.next++
	if f, ok := p.single[n]; ok {
		return f
	}
	for _, f := range p.ranges {
		if n >= f.After && (f.Count < 0 || n-f.After < f.Count) {
			return f
		}
	}
	return Fault{}
}

func (p *faultPlan) corrupt(report []byte) {
	report[p.random.IntN(len(report))] ^= byte(1 + p.random.IntN(255))
}

// RandomFaults makes a schedule for the first reports of both directions: each has a fault
// with the given probability, of one of the kinds (any but Disconnect, if none are given),
// with delays up to maxDelay. The same arguments give the same schedule.
func RandomFaults(seed uint64, reports int, probability float64, maxDelay time.Duration, kinds ...FaultKind) []Fault {
	if len(kinds) == 0 {
		kinds = []FaultKind{Drop, Delay, Duplicate, Corrupt, Reorder}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	var faults []Fault
	for i := range reports {
		for _, direction := range []Direction{FromDevice, ToDevice} {
			if random.Float64() >= probability {
				continue
			}
			f := Fault{Kind: kinds[random.IntN(len(kinds))], Direction: direction, After: i}
			if f.Kind == Delay {
				f.Delay = time.Duration(random.Int64N(int64(max(maxDelay, 1))))
			}
			faults = append(faults, f)
		}
	}
	return faults
}

// Faulty is a [Device] with faults. Make one with [NewFaulty].
//
// It reads the device on a goroutine of its own, so that a delay keeps neither
// deadlines nor Close.
type Faulty struct {
	device   Device
	queue    *queue
	output   int
	closed   chan struct{}
	finished chan struct{} // closed when the reading goroutine has ended

	// For Write alone.
	held []byte

	mu     sync.Mutex // guards the closing of closed, and all below
	gone   bool
	seed   uint64
	reads  *faultPlan
	writes *faultPlan
	copied []byte
}

// NewFaulty returns a device that does what device does except for the faults. Which byte
// is corrupted depends on seed alone. It owns device.
func NewFaulty(device Device, seed uint64, faults ...Fault) *Faulty {
	input, output := device.ReportSizes()
	f := &Faulty{
		device: device, output: output,
		queue:    newQueue(input, queueLength),
		closed:   make(chan struct{}),
		finished: make(chan struct{}),
		seed:     seed,
	}
	f.SetFaults(faults...)
	go f.read()
	return f
}

// SetFaults makes these the faults from the next report on, which is number 0 of them. Reports that
// are on their way stay with the faults that they have.
func (f *Faulty) SetFaults(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads, f.writes = newFaultPlan(FromDevice, f.seed, faults), newFaultPlan(ToDevice, f.seed, faults)
}

// next is the fault of the next report of a direction, with the bytes of it corrupted if it is to be.
func (f *Faulty) next(direction Direction, report []byte) (Fault, []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	plan := f.reads
	if direction == ToDevice {
		plan = f.writes
	}
	fault := plan.fault()
	if fault.Kind == Corrupt {
		f.copied = append(f.copied[:0], report...)
		plan.corrupt(f.copied)
		report = bytes.Clone(f.copied)
	}
	return fault, report
}

func (f *Faulty) read() {
	defer close(f.finished)
	defer f.queue.closeWriter(ErrGone, ErrGone)
	_ = f.device.SetReadDeadline(time.Time{}) // one that is closed fails at Read, too
	report := make([]byte, f.queue.size)
	var held []byte
	for {
		if _, err := f.device.Read(report); err != nil {
			if errors.Is(err, ErrReportSize) {
				continue
			}
			if held != nil {
				_ = f.queue.push(held)
			}
			return
		}
		fault, report := f.next(FromDevice, report)
		switch fault.Kind {
		case Drop:
			continue
		case Delay:
			if !f.wait(fault.Delay) {
				return
			}
		case Duplicate:
			_ = f.queue.push(report)
		case Foreign:
			_ = f.queue.push(foreign(report, ctaphidKeepalive, 1))
		case Busy:
			if busy := busyAnswer(report, f.output); busy != nil {
				_, _ = f.device.Write(busy)
				continue
			}
		case Reorder:
			if held == nil {
				held = append(held, report...)
				continue
			}
		case Disconnect:
			f.disconnect()
			return
		}
		// A reader that does not read loses reports.
		_ = f.queue.push(report)
		if held != nil {
			_ = f.queue.push(held)
			held = nil
		}
	}
}

// wait returns false if the device is closed meanwhile.
func (f *Faulty) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.closed:
		return false
	}
}

func (f *Faulty) disconnect() {
	f.mu.Lock()
	f.gone = true
	f.mu.Unlock()
	f.device.Close()
}

func (f *Faulty) Write(report []byte) (int, error) {
	if len(report) != f.output {
		return 0, sizeError(len(report), f.output)
	}
	fault, report := f.next(ToDevice, report)
	switch fault.Kind {
	case Drop:
		return len(report), f.state()
	case Delay:
		if !f.wait(min(fault.Delay, WriteTimeout)) {
			return 0, errClosed
		}
		if fault.Delay >= WriteTimeout {
			return 0, ErrWriteTimeout
		}
	case Duplicate:
		if n, err := f.write(report); err != nil {
			return n, err
		}
	case Foreign:
		if n, err := f.write(foreign(report, ctaphidCancel, 0)); err != nil {
			return n, err
		}
	case Busy:
		if busy := busyAnswer(report, f.queue.size); busy != nil {
			_ = f.queue.push(busy)
			return len(report), f.state()
		}
	case Reorder:
		if f.held == nil {
			f.held = append(f.held, report...)
			return len(report), f.state()
		}
	case Disconnect:
		f.disconnect()
	}
	n, err := f.write(report)
	if err == nil && f.held != nil {
		held := f.held
		f.held = nil
		if _, err := f.write(held); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (f *Faulty) write(report []byte) (int, error) {
	if err := f.state(); err != nil {
		return 0, err
	}
	n, err := f.device.Write(report)
	if errors.Is(err, os.ErrClosed) {
		if state := f.state(); state != nil {
			err = state
		}
	}
	return n, err
}

// state returns the error of a device that is closed or gone.
func (f *Faulty) state() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		return errClosed
	default:
	}
	if f.gone {
		return ErrGone
	}
	return nil
}

func (f *Faulty) Read(report []byte) (int, error) { return f.queue.pop(report) }

// SetReadDeadline implements [Device].
func (f *Faulty) SetReadDeadline(t time.Time) error { return f.queue.setReadDeadline(t) }

// ReportSizes implements [Device].
func (f *Faulty) ReportSizes() (input, output int) { return f.queue.size, f.output }

// Close implements [Device]: it closes the device beneath, too.
func (f *Faulty) Close() error {
	f.mu.Lock()
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	f.mu.Unlock()
	f.queue.closeReader(errClosed, errClosed)
	err := f.device.Close()
	<-f.finished
	return err
}
