package hid

// Processes tells of the programs of this machine.
type Processes interface {
	// Name is the command name of a process, which it chooses itself; empty when it cannot be known.
	Name(pid int) string
	// Openers are the processes that have a device node open, by number, as far as they can be known.
	Openers(node string) []Opener
}

// Opener is a process that has a device node open.
type Opener struct {
	PID int `json:"pid"`
	// Writes is false for one that only listens.
	Writes bool `json:"writes,omitempty"`
}
