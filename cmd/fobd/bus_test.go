package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon/dbusapi"
)

func TestTheBusOfItsScope(t *testing.T) {
	const there, absent = "(true,)", "(false,)"
	for _, test := range []struct {
		name, config string
		args         []string
		want         string
	}{
		{name: "default", want: there},
		{name: "session", config: "dbus = \"session\"\n", want: there},
		{name: "off", config: "dbus = \"off\"\n", want: absent},
		{name: "flag", args: []string{"--no-dbus"}, want: absent},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := sessionBus(t)
			d := prepare(t, "", test.args...)
			d.configure(t, test.config)
			d.cmd.Env = append(d.cmd.Env, "DBUS_SESSION_BUS_ADDRESS="+address)
			d.start(t)
			if got := owned(t, address, dbusapi.Name); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			d.stop(t)
		})
	}
}

func TestWithoutABus(t *testing.T) {
	d := prepare(t, "").start(t) // where its environment says that a bus is, none is
	d.stop(t)
	if got := d.stderr.String(); !strings.Contains(got, "programs reach the daemon through its socket") {
		t.Errorf("the log says %s", got)
	}
	d = prepare(t, "")
	d.configure(t, "dbus = \"session\"\n")
	if err := d.cmd.Run(); err == nil || !strings.Contains(d.stderr.String(), `dbus = "session": dbusapi: the bus at unix:path=/nonexistent`) {
		t.Errorf("got %v, %s", err, &d.stderr)
	}
}

func TestTheNameIsTaken(t *testing.T) {
	address := sessionBus(t)
	start := func(config string) (*instance, error) {
		d := prepare(t, "")
		d.configure(t, config)
		d.cmd.Env = append(d.cmd.Env, "DBUS_SESSION_BUS_ADDRESS="+address)
		if config == "" {
			return d.start(t), nil
		}
		return d, d.cmd.Run()
	}
	first, _ := start("")
	second, _ := start("")
	second.stop(t)
	if !strings.Contains(second.stderr.String(), "another program has the name "+dbusapi.Name) {
		t.Errorf("the second one says %s", &second.stderr)
	}
	if third, err := start("dbus = \"session\"\n"); err == nil {
		t.Errorf("a third one that insists starts: %s", &third.stderr)
	}
	first.stop(t)
}

// lostServer is one whose bus hangs up after a while.
type lostServer struct{ after time.Duration }

func (s lostServer) Serve(ctx context.Context) error {
	select {
	case <-time.After(s.after):
		return fmt.Errorf("a test: %w", dbusapi.ErrLost)
	case <-ctx.Done():
		return nil
	}
}

func TestBusThatHangsUpIsJoinedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var tries []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		m := &member{log: slog.New(slog.DiscardHandler), connect: func(context.Context) (server, error) {
			tries = append(tries, time.Since(began))
			switch n := len(tries); {
			case n < 9:
				return nil, errors.New("away")
			case n == 9:
				return lostServer{time.Hour}, nil
			}
			cancel()
			return lostServer{time.Hour}, nil
		}}
		if err := m.stay(ctx, lostServer{0}); err != nil {
			t.Errorf("got %v", err)
		}
		want := []time.Duration{1, 3, 7, 15, 31, 63, 123, 183, 243, 243 + 3600 + 1}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(tries, want) {
			t.Errorf("tried at %v, want %v", tries, want)
		}
	})
}

// A daemon that a bus started ends with the bus: who starts it next has another one.
func TestStartedByTheBusEndsWithIt(t *testing.T) {
	t.Setenv("DBUS_STARTER_ADDRESS", "unix:path=/x")
	m := &member{log: slog.New(slog.DiscardHandler), connect: func(context.Context) (server, error) {
		return nil, errors.New("tried to join again")
	}}
	if err := m.stay(t.Context(), lostServer{0}); !errors.Is(err, dbusapi.ErrLost) {
		t.Errorf("got %v", err)
	}
}
