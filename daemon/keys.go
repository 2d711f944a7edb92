package daemon

import (
	"context"
	"slices"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens"
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
	if info := k.Info(); info != nil {
		key.AAGUID = info.AAGUID.String()
		key.Versions = slices.Clone(info.Versions)
		if set, supported := info.Option("clientPin"); supported {
			key.PINSet = &set
		}
	}
	return key
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
