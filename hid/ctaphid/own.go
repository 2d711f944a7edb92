package ctaphid

import "sync"

// ownKept is how many of a program's channels on a key are remembered. A program has one
// at a time; what [Sniffer] hears may lag behind by a few.
const ownKept = 32

// Own remembers which channels of one key are a program's own, so that a [Sniffer] can tell
// them from those of others. Channels whose [Config] names it put themselves in: first the
// nonce of their INIT, before it is sent, then the channel that the key gives. The zero
// value is usable; its methods may be called from several goroutines.
type Own struct {
	mu       sync.Mutex // guards what follows
	nonces   [ownKept][nonceSize]byte
	channels [ownKept]uint32 // 0 is no channel (CTAP 2.2, section 11.2.4)
	nonce    int             // where the next one goes
	channel  int
}

func (o *Own) addNonce(nonce [nonceSize]byte) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nonces[o.nonce] = nonce
	o.nonce = (o.nonce + 1) % ownKept
}

func (o *Own) addChannel(cid uint32) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(cid)
}

// add needs o.mu.
func (o *Own) add(cid uint32) {
	for _, c := range o.channels {
		if c == cid {
			return
		}
	}
	o.channels[o.channel] = cid
	o.channel = (o.channel + 1) % ownKept
}

// allocated takes note of a channel that the key gave to whoever sent nonce. Keys give
// channels of programs that are gone to others.
func (o *Own) allocated(nonce [nonceSize]byte, cid uint32) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.nonces {
		if n == nonce && n != [nonceSize]byte{} {
			o.add(cid)
			return
		}
	}
	for i, c := range o.channels {
		if c == cid {
			o.channels[i] = 0
		}
	}
}

// Has says whether a channel is the program's own.
func (o *Own) Has(cid uint32) bool {
	if o == nil || cid == 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.channels {
		if c == cid {
			return true
		}
	}
	return false
}
