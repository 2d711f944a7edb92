package api

// PromptKind says what a prompt wants from the person.
type PromptKind string

// The kinds of prompts. The first group only tells; the second wants an answer by
// POST /v1/prompts/{id}.
const (
	PromptTouch  PromptKind = "touch"  // touch the blinking key
	PromptVerify PromptKind = "verify" // finger on the key's sensor
	PromptReplug PromptKind = "replug" // pull the key out and put it in again
	PromptInsert PromptKind = "insert" // no key is attached; put one in
	PromptWait   PromptKind = "wait"   // the key is taken by Holder; wait
	PromptSample PromptKind = "sample" // finger on the sensor, to be learnt; Sample says how the last one was
	PromptLease  PromptKind = "lease"  // the key is leased to the program that asked; Lease names the lease

	PromptProgress PromptKind = "progress" // wait; Done and Of say how far it is

	PromptPIN     PromptKind = "pin"     // answer: the PIN, as the raw body
	PromptNewPIN  PromptKind = "new-pin" // answer: the new PIN, as the raw body
	PromptCode    PromptKind = "code"    // answer: a one-time code or a recovery code of the person, as the raw body
	PromptChoose  PromptKind = "choose"  // answer: the index of a choice, as a JSON number
	PromptConfirm PromptKind = "confirm" // answer: true or false, as JSON
	// PromptConsent asks whether a program may do what the policy leaves to people. Answer: the index of a
	// choice, of which the first is "only this once" or a longer time, and the last "no". Agents alone are asked.
	PromptConsent PromptKind = "consent"
)

// Prompt is something the person must know or answer while an operation runs.
type Prompt struct {
	ID        string     `json:"id"`
	Kind      PromptKind `json:"kind"`
	Operation string     `json:"operation"`
	// Program, PID and User say who asks; they come from the kernel, never from the request.
	Program string `json:"program,omitempty"`
	PID     int    `json:"pid,omitempty"`
	User    string `json:"user,omitempty"`
	// RPID is the site, Purpose a text that the program gave; both may be empty.
	RPID    string `json:"rpId,omitempty"`
	Purpose string `json:"purpose,omitempty"`
	// Origin is the origin of the site that the program claims, for consent prompts.
	Origin string `json:"origin,omitempty"`
	// Key is the id of the key, KeyName a name for people.
	Key     string `json:"key,omitempty"`
	KeyName string `json:"keyName,omitempty"`
	// Message is the whole prompt in one English sentence.
	Message string `json:"message"`
	// Retries is the number of PIN retries left, for PIN prompts.
	Retries *uint `json:"retries,omitempty"`
	// MinLength is the least number of code points of a new PIN, MaxLength the greatest, if the
	// key says one.
	MinLength uint     `json:"minLength,omitempty"`
	MaxLength uint     `json:"maxLength,omitempty"`
	Choices   []Choice `json:"choices,omitempty"`
	// Sample is what the sensor said of the last sample ("good", "too-fast", …; empty before the
	// first), and Remaining how many good ones it still wants, for sample prompts.
	Sample    string  `json:"sample,omitempty"`
	Remaining *uint   `json:"remaining,omitempty"`
	Holder    *Holder `json:"holder,omitempty"`
	// Position is the place in the queue of the key, from 1, and Waiting how many are in it, for
	// wait prompts.
	Position int `json:"position,omitempty"`
	Waiting  int `json:"waiting,omitempty"`
	// Done and Of say how far a long operation is, for progress prompts; Of is 0 if nobody knows.
	Done int `json:"done,omitempty"`
	Of   int `json:"of,omitempty"`
	// Lease is the secret name of a lease. Only the program that asked for it sees it.
	Lease string `json:"lease,omitempty"`
	// Deadline is when the operation gives up, RFC 3339; empty when it does not.
	Deadline string `json:"deadline,omitempty"`
}

// Answerable says whether prompts of this kind want an answer.
func (k PromptKind) Answerable() bool {
	switch k {
	case PromptPIN, PromptNewPIN, PromptCode, PromptChoose, PromptConfirm, PromptConsent:
		return true
	}
	return false
}

// PromptKinds are all kinds of prompts.
func PromptKinds() []PromptKind {
	return []PromptKind{
		PromptTouch, PromptVerify, PromptReplug, PromptInsert, PromptWait, PromptSample, PromptLease, PromptProgress,
		PromptPIN, PromptNewPIN, PromptCode, PromptChoose, PromptConfirm, PromptConsent,
	}
}

// Agent is a program that shows the prompts of its user's operations, and may answer them: GET
// /v1/prompts?name=…&kinds=…,… streams them as [Line]s of prompts and withdrawals; answers go
// where those of an operation's own prompts go.
type Agent struct {
	// Name stands in the daemon's order of preference: "tty", "notify", "pinentry", "exec" for
	// the agents of fob, another one for others. At most 32 characters.
	Name string `json:"name"`
	// Kinds are the prompts that the agent takes; none means all.
	Kinds []PromptKind `json:"kinds,omitempty"`
}

// Choice is one of several things to choose from.
type Choice struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
}

// Line is one line of a streamed operation (application/x-ndjson): exactly one
// member is set. A stream ends with one Result or Error line.
type Line struct {
	Prompt *Prompt `json:"prompt,omitempty"`
	// Withdrawn is the id of a prompt that is over.
	Withdrawn string `json:"withdrawn,omitempty"`
	Result    any    `json:"result,omitempty"`
	Error     *Error `json:"error,omitempty"`
	// Ready ends what was shown before an [Agent] came.
	Ready bool `json:"ready,omitempty"`
}
