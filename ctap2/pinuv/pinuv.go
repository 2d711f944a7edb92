// Package pinuv holds the PIN/UV auth protocols one and two, as both the platform
// and the authenticator use them (CTAP 2.2, sections 6.5.4 to 6.5.7).
package pinuv

// Protocol is the number of a PIN/UV auth protocol; its methods are the operations
// of CTAP 2.2, section 6.5.4. The zero value means none given.
type Protocol uint

// The PIN/UV auth protocols (CTAP 2.2, sections 6.5.6 and 6.5.7).
const (
	One Protocol = 1
	Two Protocol = 2
)
