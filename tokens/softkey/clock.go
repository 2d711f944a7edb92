package softkey

import "time"

// now is the time of the key's clock.
func (a *Authenticator) now() time.Time { return time.Now() }
