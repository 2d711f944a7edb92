package usbip

// Limits for the tests.
const (
	MaxPending  = maxPending
	MaxTransfer = maxTransfer
	QueueLength = queueLength
)
