package uhid

import (
	"cmp"
	"fmt"

	"github.com/fobd/fobd/hid"
)

// describe sets the report sizes that the descriptor, or nothing, says, and returns that of
// feature reports.
func (c *Config) describe() (featureSize int, err error) {
	if c.Descriptor == nil {
		c.InputSize = cmp.Or(c.InputSize, hid.DefaultReportSize)
		c.OutputSize = cmp.Or(c.OutputSize, hid.DefaultReportSize)
		return 0, nil
	}
	if c.InputSize, c.OutputSize, featureSize, err = hid.UnnumberedReports(c.Descriptor); err != nil {
		return 0, fmt.Errorf("uhid: %w", err)
	}
	// The report number, 0, goes in front of each.
	if max(c.InputSize, c.OutputSize, featureSize) > dataMax-1 {
		return 0, fmt.Errorf("uhid: %w: report of more than %d bytes", hid.ErrDescriptor, dataMax-1)
	}
	return featureSize, nil
}

// answer appends the answer to a request for a report. A host reads and writes a feature report
// with its number in front, and the kernel passes that on as it is.
func (d *Device) answer(dst []byte, e event) []byte {
	if d.feature == nil || d.featureSize == 0 || !e.feature() {
		return appendRefusal(dst, e, errnoIO)
	}
	if e.kind == typeSetReport {
		if len(e.data) != 1+d.featureSize || e.data[0] != 0 || d.feature.SetFeature(e.data[1:]) != nil {
			return appendRefusal(dst, e, errnoIO)
		}
		return appendSetReply(dst, e.id, 0)
	}
	report := make([]byte, 1+d.featureSize)
	n, err := d.feature.GetFeature(report[1:])
	if err != nil || n < 0 || n > d.featureSize {
		return appendRefusal(dst, e, errnoIO)
	}
	return appendGetReply(dst, e.id, 0, report[:1+n])
}
