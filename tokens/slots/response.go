package slots

import "fmt"

// maxResponse bounds a response: its reports are numbered in 5 bits.
const maxResponse = (int(maskNumber) + 1) * partSize

// ResponseReports cuts a response, with its checksum if it has one, into reports, and adds the one that ends it: on the
// key's side. What has more than 224 bytes is cut off there.
func ResponseReports(b []byte) []Report {
	b = b[:min(len(b), maxResponse)]
	var reports []Report
	for i := 0; i*partSize < len(b); i++ {
		r := Report{7: flagResponse | byte(i)}
		copy(r[:partSize], b[i*partSize:])
		reports = append(reports, r)
	}
	return append(reports, Report{7: flagResponse})
}

// Collector puts a response together from reports, on the host's side. The zero value is an empty one.
type Collector struct {
	data []byte
	next int
}

// Add takes a report with the response bit. done says that it was the one that ends the response. The error is an
// [ErrMalformed]: a part is missing, came twice, or the response is too long.
func (c *Collector) Add(r Report) (done bool, err error) {
	status := r[ReportSize-1]
	number := int(status & maskNumber)
	switch {
	case status&(flagWrite|flagResponse|flagTouch) != flagResponse:
		return false, fmt.Errorf("%w: status %02x in a response", ErrMalformed, status)
	case number == 0 && c.next > 0:
		return true, nil
	case number != c.next:
		return false, fmt.Errorf("%w: part %d of a response where %d should be", ErrMalformed, number, c.next)
	}
	if c.data == nil {
		c.data = make([]byte, 0, maxResponse) // never moves, so that it can be wiped
	}
	c.data = append(c.data, r[:partSize]...)
	c.next++
	return false, nil
}

// Started says that there is a part.
func (c *Collector) Started() bool { return c.next > 0 }

// Bytes returns the first n bytes of the response, behind which its checksum stands, and more that means nothing. The
// bytes are the Collector's.
func (c *Collector) Bytes(n int) ([]byte, error) {
	switch {
	case n < 0 || n+2 > len(c.data):
		return nil, fmt.Errorf("%w: a response of %d bytes, want %d with its checksum", ErrMalformed, len(c.data), n+2)
	case !Checked(c.data[:n+2]):
		return nil, fmt.Errorf("%w: checksum of a response", ErrMalformed)
	}
	return c.data[:n], nil
}

// Wipe overwrites the response.
func (c *Collector) Wipe() {
	clear(c.data)
	*c = Collector{}
}
