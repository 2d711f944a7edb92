package daemon

// WithoutQueue makes an engine that gives every key to everybody at once, to compare with.
func WithoutQueue(e *Engine) { e.arbiter.open = true }
