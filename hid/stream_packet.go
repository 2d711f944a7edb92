package hid

import "net"

// NewPackets returns a device at the other end of a connection that keeps messages apart, such
// as a Unix socket of type SEQPACKET or a connected UDP socket: a report is a packet. It is
// otherwise like [NewStream]. A packet of another size is no report, and is dropped.
func NewPackets(conn net.Conn, inputSize, outputSize int) Device {
	return &packets{
		connection: connection{conn: conn, output: reportSize(outputSize)},
		// One more, to see that a packet is too long.
		packet: make([]byte, reportSize(inputSize)+1),
	}
}

type packets struct {
	connection
	packet []byte // for Read alone
}

func (p *packets) Read(report []byte) (int, error) {
	size := len(p.packet) - 1
	if len(report) < size {
		return 0, errShortBuffer
	}
	for {
		n, err := p.conn.Read(p.packet)
		if err != nil {
			return 0, p.explain("read", err)
		}
		if n == size {
			return copy(report, p.packet[:size]), nil
		}
	}
}

func (p *packets) ReportSizes() (input, output int) { return len(p.packet) - 1, p.output }
