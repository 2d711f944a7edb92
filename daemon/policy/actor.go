package policy

import "fmt"

// Actor is the one who asks, as the kernel or the bus knows them. Nothing in it
// comes from the request.
type Actor struct {
	UID, GID uint32
	PID      int
	User     string // name of UID, or its number
	// Groups are the names of the groups of the process, or their numbers, with commas between and around.
	Groups  string
	Program string // command name of PID when the connection began, empty when unknown
	App     App
	// Session is the login session that PID belongs to, as logind numbers them, empty for a
	// service and when unknown.
	Session string
	// Start is when PID began, in the kernel's clock ticks since boot; 0 when unknown. With PID it
	// names a process for ever.
	Start uint64
	// BusName is the unique name on the bus of a program that asks there.
	BusName string
	// Via is the front end: "socket", "dbus", "shared-key", or [ViaDaemon] for the daemon itself.
	Via string
	// Interactive says that polkit may ask the person for a password.
	Interactive bool
	// Vouched says that polkit lets the actor administer, this once.
	Vouched bool
}

// ViaDaemon is the front end of what the daemon does for itself.
const ViaDaemon = "daemon"

// App is the program by what it cannot choose freely.
type App struct {
	// Exe is the path of the executable, empty when it is not what that path shows to the daemon.
	Exe string
	// Unit is the systemd unit, Flatpak and Snap the id in a sandbox.
	Unit, Flatpak, Snap string
}

// ID is the sandbox's id, else the executable; it is what session grants hold for.
func (a App) ID() string {
	switch {
	case a.Flatpak != "":
		return "flatpak:" + a.Flatpak
	case a.Snap != "":
		return "snap:" + a.Snap
	}
	return a.Exe
}

func (a Actor) String() string {
	if a.Program == "" {
		return fmt.Sprintf("process %d of %s", a.PID, a.User)
	}
	return fmt.Sprintf("%s (process %d of %s)", a.Program, a.PID, a.User)
}
