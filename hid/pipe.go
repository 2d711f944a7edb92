package hid

import "time"

// NewPipe returns the two ends of a device in memory: the host end reads reports
// of inputSize and writes reports of outputSize bytes, the key end the other way
// round. A size below 1 means [DefaultReportSize].
//
// Each direction holds 64 reports, as hidraw does; Write waits for room up to
// [WriteTimeout]. Once one end is closed, the other reads what was already sent and
// then gets [ErrGone]; its writes get [ErrGone] at once. A pipe made inside a
// testing/synctest bubble lives by the bubble's clock. No call allocates per report.
func NewPipe(inputSize, outputSize int) (host, key Device) {
	input, output := newQueue(reportSize(inputSize), queueLength), newQueue(reportSize(outputSize), queueLength)
	return &pipeEnd{read: input, write: output}, &pipeEnd{read: output, write: input}
}

type pipeEnd struct {
	read, write *queue
}

func (p *pipeEnd) Read(report []byte) (int, error) { return p.read.pop(report) }

func (p *pipeEnd) Write(report []byte) (int, error) {
	if err := p.write.push(report); err != nil {
		return 0, err
	}
	return len(report), nil
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error { return p.read.setReadDeadline(t) }

func (p *pipeEnd) ReportSizes() (input, output int) { return p.read.size, p.write.size }

func (p *pipeEnd) Close() error {
	p.read.closeReader(errClosed, ErrGone)
	p.write.closeWriter(ErrGone, errClosed)
	return nil
}
