package hid

// Processes tells of the programs of this machine.
type Processes interface {
	// Name is the command name of a process, which it chooses itself; empty when it cannot be known.
	Name(pid int) string
	// Openers are the processes that have a device node, or a socket ("socket:[4711]", as in proc_pid_fd(5)), open, by number,
	// as far as they can be known.
	Openers(node string) []Opener
}

// Opener is a process that has a device node or socket open.
type Opener struct {
	PID int `json:"pid"`
	// Writes is false for one that only listens.
	Writes bool `json:"writes,omitempty"`
}
