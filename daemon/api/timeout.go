package api

import "time"

func milliseconds(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }

// Timeout is TimeoutMS as a duration.
func (r KeyRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r TouchRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r RegisterRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r AssertRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r PINChangeRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// Timeout is TimeoutMS as a duration.
func (r ResetRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }
