package uhid

// EventSize is the size of struct uhid_event.
const EventSize = eventSize

// ErrEvent says that an event is malformed.
var ErrEvent = errEvent

// ParseEvent gives parseEvent's result in parts.
func ParseEvent(b []byte) (kind, id uint32, data []byte, err error) {
	e, err := parseEvent(b)
	return e.kind, e.id, e.data, err
}
