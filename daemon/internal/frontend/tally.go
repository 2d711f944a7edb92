package frontend

// Tally counts what users have, of which there may be so much in all, and so much of one user. Whoever has it
// guards it by a lock of their own.
type Tally struct {
	Max, MaxUser int

	all  int
	user map[uint32]int
}

// Enter counts one of a user in. ok is false, and nothing is counted, when there is no room; own says that it is the user's
// own limit.
func (t *Tally) Enter(uid uint32) (ok, own bool) {
	switch {
	case t.user[uid] >= t.MaxUser:
		return false, true
	case t.all >= t.Max:
		return false, false
	}
	if t.user == nil {
		t.user = map[uint32]int{}
	}
	t.all++
	t.user[uid]++
	return true, false
}

// Leave counts one out that Enter has counted in.
func (t *Tally) Leave(uid uint32) {
	t.all--
	if t.user[uid]--; t.user[uid] == 0 {
		delete(t.user, uid)
	}
}

// All is how many there are.
func (t *Tally) All() int { return t.all }
