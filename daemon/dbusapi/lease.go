package dbusapi

import (
	"github.com/godbus/dbus/v5"
)

// leaseReports hands a lease over as a file that carries reports. The name of the lease, which is all
// that its holder needs to use it, came in Progress to the caller of Lease alone.
var leaseReports = method{
	name: "LeaseReports",
	doc: "A lease of the caller's user as a SEQPACKET socket: each message is one CTAPHID report of 64 bytes, as a hidraw node of a FIDO key has them. " +
		"Closing it does not end the lease.",
	in: []arg{{"lease", "s"}}, out: []arg{{"reports", "h"}},
	run: func(c *call) ([]any, error) {
		who, err := c.from.identify()
		if err != nil {
			return nil, err
		}
		lease, _ := c.msg.Body[0].(string)
		file, err := c.s.engine.LeaseReports(who, lease)
		if err != nil {
			return nil, err
		}
		// The message is written when reply returns: godbus sends in the caller's goroutine.
		defer func() { _ = file.Close() }()
		c.reply(dbus.UnixFD(file.Fd()))
		return nil, nil
	},
}
