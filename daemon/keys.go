package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// describe is a key as it crosses the socket.
func describe(k *tokens.Key) api.Key {
	d := k.Device()
	key := api.Key{
		ID:           k.ID(),
		Name:         k.Name(),
		Path:         d.Path,
		VendorID:     d.VendorID,
		ProductID:    d.ProductID,
		Manufacturer: d.Manufacturer,
		Product:      d.Product,
		Serial:       d.Serial,
		Emulated:     d.Emulated,
	}
	if k.FIDO() {
		key.Interfaces = append(key.Interfaces, "fido")
	}
	for _, s := range k.Sides() {
		key.Interfaces = append(key.Interfaces, string(s.Way))
	}
	if info := k.Info(); info != nil {
		key.AAGUID = info.AAGUID.String()
		key.Versions = slices.Clone(info.Versions)
		if set, supported := info.Option("clientPin"); supported {
			key.PINSet = &set
		}
	}
	return key
}

// fidoKeys are the attached keys that have a FIDO interface.
func (e *Engine) fidoKeys() []*tokens.Key {
	return slices.DeleteFunc(e.keys.Keys(), func(k *tokens.Key) bool { return !k.FIDO() })
}

// find returns the key that a request names, by its id or else its serial number.
func (e *Engine) find(name string) (*tokens.Key, error) {
	if k, err := e.keys.Key(name); err == nil {
		return k, nil
	}
	var found *tokens.Key
	for _, k := range e.keys.Keys() {
		if k.Device().Serial != name {
			continue
		}
		if found != nil {
			return nil, &api.Error{
				Code: api.CodeInvalidRequest, Message: "several keys have the serial number " + shorten(name),
				Hint: "name the key by its id, as list shows it",
			}
		}
		found = k
	}
	if found == nil {
		return nil, &api.Error{
			Code: api.CodeNoKey, Message: "no key " + shorten(name) + " is attached",
			Hint: "list shows the keys that are",
		}
	}
	return found, nil
}

// list is the operation list.
func (c *call) list(context.Context, *api.ListRequest) (*api.ListResult, error) {
	keys := c.e.keys.Keys()
	result := &api.ListResult{Keys: make([]api.Key, 0, len(keys))}
	for _, k := range keys {
		key := describe(k)
		key.Busy = c.e.arbiter.holder(k)
		result.Keys = append(result.Keys, key)
	}
	return result, nil
}

// info is the operation info.
func (c *call) info(ctx context.Context, r *api.KeyRequest) (*api.InfoResult, error) {
	s, err := c.choose(ctx, r.Key, wish{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	init := s.conn.Init()
	result := &api.InfoResult{
		CTAPHID: fmt.Sprintf("%d, %d.%d.%d", init.ProtocolVersion, init.DeviceVersion[0], init.DeviceVersion[1], init.DeviceVersion[2]),
		// A list, even if it is empty.
		Capabilities: []string{},
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"wink", init.Capabilities.Has(ctaphid.CapWink)},
		{"cbor", s.conn.CTAP2()},
		{"msg", s.conn.U2F()},
	} {
		if flag.set {
			result.Capabilities = append(result.Capabilities, flag.name)
		}
	}
	if s.conn.U2F() {
		result.U2FVersion, err = exchange(s, api.PromptTouch, func() (string, error) {
			return (&u2f.Client{Transport: s.conn}).Version(ctx)
		})
		// A key that refuses does not speak U2F, whatever its flags say.
		var refused apdu.SW
		if err != nil && !errors.As(err, &refused) && !errors.Is(err, ctaphid.ErrInvalidCmd) {
			return nil, err
		}
	}
	if s.client != nil {
		// Asked again: the answer may have changed under other programs' hands.
		s.conn.Forget()
		if s.info, err = exchange(s, api.PromptTouch, func() (*ctap2.Info, error) { return s.conn.Info(ctx) }); err != nil {
			return nil, err
		}
		result.Info = members(s.info)
	}
	result.Key = describe(s.key)
	return result, nil
}

// wink is the operation wink.
func (c *call) wink(ctx context.Context, r *api.KeyRequest) (*api.KeyResult, error) {
	s, err := c.choose(ctx, r.Key, wish{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if !s.conn.Init().Capabilities.Has(ctaphid.CapWink) {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: s.key.Name() + " cannot wink", Hint: "use touch instead", Key: s.key.ID()}
	}
	if _, err := exchange(s, api.PromptTouch, func() (struct{}, error) { return struct{}{}, s.conn.Wink(ctx) }); err != nil {
		return nil, err
	}
	return &api.KeyResult{Key: describe(s.key)}, nil
}
