package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// answer is what the person said to a prompt.
type answer struct {
	pin    []byte
	index  int
	yes    bool
	gaveUp bool
}

// prompt is a question that was sent to the client of an operation.
type prompt struct {
	id      string
	kind    api.PromptKind
	choices int
	uid     uint32
	// answered carries the one answer.
	answered chan answer

	mu      sync.Mutex // guards settled
	settled bool       // answered, given up or withdrawn
}

// give settles the prompt with an answer. It is false when it was settled before.
func (p *prompt) give(a answer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled {
		return false
	}
	p.settled = true
	p.answered <- a
	return true
}

// settle withdraws the prompt and returns an answer that came just before.
func (p *prompt) settle() (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = true
	select {
	case a := <-p.answered:
		return a, true
	default:
		return answer{}, false
	}
}

// registry knows the prompts of all running operations. The zero value is empty.
type registry struct {
	mu   sync.Mutex // guards open
	open map[string]*prompt
}

// newID returns an unguessable name.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// add registers a prompt that only who's user and root may answer, and gives it a name
// if the engine has not done so.
func (r *registry) add(p *api.Prompt, who policy.Actor) *prompt {
	if p.ID == "" {
		p.ID = newID()
	}
	open := &prompt{id: p.ID, kind: p.Kind, choices: len(p.Choices), uid: who.UID, answered: make(chan answer, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[string]*prompt{}
	}
	r.open[p.ID] = open
	return open
}

// find returns a prompt that who may answer. One of another user does not exist.
func (r *registry) find(id string, who policy.Actor) *prompt {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.open[id]
	if p == nil || who.UID != p.uid && who.UID != 0 {
		return nil
	}
	return p
}

func (r *registry) remove(prompts []*prompt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range prompts {
		delete(r.open, p.id)
	}
}

// answer is the handler of POST and DELETE /v1/prompts/{id}.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, who policy.Actor, id string) {
	body, e := h.readBody(w, r, maxAnswer)
	if e != nil {
		fail(w, e)
		return
	}
	defer clear(body)
	p := h.prompts.find(id, who)
	if p == nil {
		fail(w, &api.Error{Code: api.CodeNotFound, Message: "no such prompt", Hint: "its operation may be over"})
		return
	}
	a := answer{gaveUp: true}
	if r.Method == http.MethodPost {
		if a, e = p.parse(body); e != nil {
			fail(w, e)
			return
		}
	}
	if !p.give(a) {
		clear(a.pin)
		fail(w, &api.Error{Code: api.CodeConflict, Message: "the prompt was answered or withdrawn before"})
		return
	}
	send(w, http.StatusOK, struct{}{})
}

// parse reads an answer. A wrong one leaves the prompt open. Nothing of body is kept,
// and nothing of it goes into an error: it may be a PIN.
func (p *prompt) parse(body []byte) (answer, *api.Error) {
	switch p.kind {
	case api.PromptPIN, api.PromptNewPIN:
		if len(body) == 0 {
			return answer{}, invalid("the PIN is empty")
		}
		return answer{pin: bytes.Clone(body)}, nil
	case api.PromptChoose:
		var i *int
		if json.Unmarshal(body, &i) != nil || i == nil || *i < 0 || *i >= p.choices {
			return answer{}, invalid("want the index of one of %d choices", p.choices)
		}
		return answer{index: *i}, nil
	}
	var yes *bool
	if json.Unmarshal(body, &yes) != nil || yes == nil {
		return answer{}, invalid("want true or false")
	}
	return answer{yes: *yes}, nil
}
