package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Errors of this package. All are compared with [errors.Is].
var (
	// ErrConfig reports a definition, ID or option that breaks a limit.
	ErrConfig = errors.New("workflow: not accepted")
	// ErrExists reports an ID that is taken by another run.
	ErrExists = errors.New("workflow: ID taken by another run")
	// ErrUnknown reports an ID that no run has.
	ErrUnknown = errors.New("workflow: no such run")
	// ErrUndefined reports a run whose definition is missing or has changed.
	ErrUndefined = errors.New("workflow: definition missing or changed")
	// ErrState reports state above [MaxState].
	ErrState = errors.New("workflow: state too large")
	// ErrUndone reports a run that was taken back.
	ErrUndone = errors.New("workflow: undone")
	// ErrFinished reports a run that has ended and cannot be cancelled.
	ErrFinished = errors.New("workflow: already ended")
	// ErrUnfinished reports a run that has not ended and cannot be forgotten.
	ErrUnfinished = errors.New("workflow: not ended")
	// ErrTampered reports a journal whose chain does not hold.
	ErrTampered = errors.New("workflow: journal does not verify")
	// ErrLocked reports a journal that another process owns.
	ErrLocked = errors.New("workflow: journal owned by another process")
	// ErrClosed reports use after Close.
	ErrClosed = errors.New("workflow: journal closed")
	// ErrCancelled is the cause of the context of a step whose run is cancelled.
	ErrCancelled = errors.New("workflow: cancelled")
)

// MaxState is the largest state of a run, in bytes.
const MaxState = 64 << 10

// Step is one step of a workflow.
type Step struct {
	// Name is [a-z0-9.-]{1,64}, unique in its workflow. It enters [Run.Key].
	Name string
	// Do makes the effect. It runs at least once. Required.
	Do func(context.Context, *Run) error
	// Undo removes what Do, wholly or partly, did; it succeeds when there is
	// nothing to remove. It runs at least once for a step that was started.
	// Nil means that there is nothing to undo.
	Undo func(context.Context, *Run) error
	// Attempts is how many attempts of Do there may be before a failure undoes
	// the run; zero means 1, that is no retry. A crash counts as an attempt, but
	// only a failure undoes.
	Attempts int
	// Timeout bounds one attempt of Do; zero means none.
	Timeout time.Duration
}

// State is where a run stands.
type State string

// The states of a run.
const (
	Running   State = "running"
	Undoing   State = "undoing"
	Completed State = "completed" // final
	Undone    State = "undone"    // final
)

// Status describes a run.
type Status struct {
	ID, Name  string
	State     State
	Step      string // the step at work, or the last one
	Attempt   int
	Cancelled bool
	Reason    string // code of the failure that led to the undoing
	Stuck     bool   // an undo failed Options.StuckAfter times or more
	// Done and Total are the progress last reported; not journaled.
	Done, Total int64
	Data        []byte // the state as journaled
	Started     time.Time
	Changed     time.Time
}

// Event tells of a change to a run. Kind is "start", "do", "state", "done",
// "failed", "giveup", "cancel", "undo", "undone", "undo-failed", "end",
// "progress" or "stuck".
type Event struct {
	Run, Name, Kind, Step, Reason string
	Attempt                       int
	Done, Total                   int64
}

// Options adjusts [Open]. The zero value and nil are the defaults.
type Options struct {
	// OnEvent is called for every change, on the goroutine that made it, and
	// must not block or call the Journal.
	OnEvent func(Event)
	// AfterWrite is called after the n-th durable write of this process; crash
	// tests end the process in it.
	AfterWrite func(n int)
	// Backoff is the first pause before a retry, doubled up to 1 minute; zero
	// means 100 ms.
	Backoff time.Duration
	// StuckAfter is how many failures of one undo make a run stuck; zero means 3.
	StuckAfter int
}

// Run is what a step sees of its run. It is valid until the step returns.
type Run struct {
	id, step string
	state    []byte
	save     func([]byte) error
	progress func(done, total int64)
}

// ID returns the ID of the run.
func (r *Run) ID() string { return r.id }

// Key returns an idempotency key for the effect of this step: 64 hexadecimal
// digits, the same at every attempt and after every crash, and no other step's.
func (r *Run) Key() string {
	h := sha256.Sum256([]byte("cloister-workflow-key-v1\x00" + r.id + "\x00" + r.step))
	return hex.EncodeToString(h[:])
}

// State returns a copy of the state.
func (r *Run) State() []byte { return append([]byte(nil), r.state...) }

// SetState replaces the state, which is journaled when the step succeeds, or by
// [Run.Save]. It is for handles, digests and tickets only. Errors wrap [ErrState].
func (r *Run) SetState(b []byte) error {
	if len(b) > MaxState {
		return fmt.Errorf("%w: %d bytes", ErrState, len(b))
	}
	r.state = append([]byte(nil), b...)
	return nil
}

// Save journals the state now, so that an attempt after a crash, and Undo, see
// it. Use it between choosing a handle and making the effect.
func (r *Run) Save() error { return r.save(r.state) }

// Progress reports done of total units; it is not journaled.
func (r *Run) Progress(done, total int64) { r.progress(done, total) }

type codedError struct {
	code string
	err  error
}

func (e *codedError) Error() string { return e.code + ": " + e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// Fail gives err a reason code, [a-z0-9.-]{1,64}, which is what the journal
// keeps of it. An error without a code, or with a bad one, is kept as "failed".
func Fail(code string, err error) error {
	if err == nil {
		return nil
	}
	if !validName(code) {
		code = "failed"
	}
	return &codedError{code, err}
}

func reason(err error) string {
	var c *codedError
	switch {
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failed"
}

func validName(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

type definition struct {
	name   string
	steps  []Step
	digest string
}

func define(name string, steps []Step) (*definition, error) {
	if !validName(name) || len(steps) == 0 || len(steps) > 64 {
		return nil, fmt.Errorf("%w: workflow name, or number of steps not 1 to 64", ErrConfig)
	}
	seen := map[string]bool{}
	h := sha256.New()
	for _, s := range steps {
		if !validName(s.Name) || seen[s.Name] || s.Do == nil || s.Attempts < 0 || s.Timeout < 0 {
			return nil, fmt.Errorf("%w: step of %s", ErrConfig, name)
		}
		seen[s.Name] = true
		h.Write([]byte(s.Name + "\x00"))
	}
	return &definition{name, append([]Step(nil), steps...), hex.EncodeToString(h.Sum(nil))}, nil
}
