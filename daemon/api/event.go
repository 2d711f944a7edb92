package api

// EventType says what an event tells.
type EventType string

// The types of events. A stream of events begins with one attached event for each
// key, one holder event for each that is taken, one prompt event for each open prompt, one for each
// foreign touch, and then one ready event.
const (
	EventAttached  EventType = "attached"
	EventDetached  EventType = "detached"
	EventReady     EventType = "ready"
	EventHolder    EventType = "holder"    // Key changed hands: Holder has it, nobody when that is missing
	EventStarted   EventType = "started"   // an operation has the key that does it
	EventFinished  EventType = "finished"  // an operation ended; Code is set if it failed
	EventPrompt    EventType = "prompt"    // somebody is wanted
	EventWithdrawn EventType = "withdrawn" // the prompt is over
	// A program that goes around the daemon waits for a touch of Key; Holder says which one, as far
	// as the kernel tells. Over when nobody waits any more.
	EventForeign     EventType = "foreign"
	EventForeignOver EventType = "foreign-over"

	EventLost EventType = "lost" // the subscriber was too slow; Lost events are missing
)

// Event is a line of GET /v1/events.
type Event struct {
	Type      EventType `json:"type"`
	Time      string    `json:"time"` // RFC 3339 with nanoseconds
	Key       *Key      `json:"key,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Program   string    `json:"program,omitempty"`
	PID       int       `json:"pid,omitempty"`
	User      string    `json:"user,omitempty"`
	RPID      string    `json:"rpId,omitempty"`
	Code      Code      `json:"code,omitempty"`
	Prompt    *Prompt   `json:"prompt,omitempty"` // for withdrawn only its id, kind and operation
	Holder    *Holder   `json:"holder,omitempty"` // for holder events and foreign touches
	Lost      uint64    `json:"lost,omitempty"`
}
