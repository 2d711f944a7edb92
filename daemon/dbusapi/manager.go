package dbusapi

import (
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
)

// managerSpec makes the interface of the root of the table of operations.
func managerSpec(table []daemon.Operation) *spec {
	sp := &spec{name: ManagerInterface}
	for _, row := range table {
		m := method{
			name: Camel(row.Name), doc: row.Summary + ".",
			in:  []arg{{"request", "s"}},
			out: []arg{{"result", "s"}},
			run: func(c *call) ([]any, error) { return c.operate(row) },
		}
		if row.Interactive {
			m.out = []arg{{"operation", "o"}}
		}
		sp.methods = append(sp.methods, m)
	}
	sp.methods = append(sp.methods, leaseReports)
	sp.methods = append(sp.methods, agentMethods...)
	sp.signals = agentSignals
	return sp
}

// operate runs one operation, whichever it is.
func (c *call) operate(row daemon.Operation) ([]any, error) {
	request, _ := c.msg.Body[0].(string)
	if len(request) > c.s.cfg.MaxRequest {
		return nil, &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("the request is longer than %d bytes", c.s.cfg.MaxRequest)}
	}
	who, err := c.from.identify()
	if err != nil {
		return nil, err
	}
	who.Interactive = c.msg.Flags&dbus.FlagAllowInteractiveAuthorization != 0
	if row.Interactive {
		return c.start(who, row, []byte(request))
	}
	result, err := c.s.engine.Do(c.ctx, who, row.Name, frontend.Decoder([]byte(request)), nil)
	if err != nil {
		return nil, cause(c.ctx, err)
	}
	return []any{encode(result)}, nil
}
