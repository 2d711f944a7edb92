package dbusapi

import (
	"encoding/json"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
)

// Errors of the bus itself.
const busErrors = "org.freedesktop.DBus.Error."

func busError(name, message string) error {
	return dbus.NewError(busErrors+name, []any{text(message)})
}

// failure is an error as it crosses the bus: its code is in the name, its only argument is for people.
// With a second one, GLib's programs would show neither.
func failure(err error) *dbus.Error {
	e := daemon.ErrorOf(err)
	message := e.Message
	if e.Hint != "" {
		message += "; " + e.Hint
	}
	return dbus.NewError(ErrorPrefix+Camel(string(e.Code)), []any{text(message)})
}

// encode is a value of the interface as JSON.
func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return `{"code":"internal","message":"the answer has no JSON form"}`
	}
	return string(data)
}

func notFound(what string) error {
	return &api.Error{Code: api.CodeNotFound, Message: "no such " + what, Hint: "its operation may be over"}
}
