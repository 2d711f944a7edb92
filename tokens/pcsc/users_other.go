//go:build !linux

package pcsc

import "errors"

// Users says that it is not known who is connected to pcscd.
func (c *Client) Users() ([]string, error) { return nil, errors.ErrUnsupported }
