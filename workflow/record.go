package workflow

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

const (
	kindStart      = "start"
	kindDo         = "do"
	kindState      = "state"
	kindDone       = "done"
	kindFailed     = "failed"
	kindGiveUp     = "giveup"
	kindCancel     = "cancel"
	kindUndo       = "undo"
	kindUndone     = "undone"
	kindUndoFailed = "undo-failed"
	kindEnd        = "end"
)

// record is one journal entry. It holds codes and handles, never error texts.
type record struct {
	Seq     uint64    `json:"seq"`
	Kind    string    `json:"kind"`
	Time    time.Time `json:"time"`
	Name    string    `json:"name,omitempty"`  // start: the workflow
	Steps   string    `json:"steps,omitempty"` // start: digest of the step names
	Step    int       `json:"step"`
	Attempt int       `json:"attempt,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Data    []byte    `json:"data,omitempty"` // start, state, done, undone
}

// link is the chain value of a record after prev.
func link(prev [32]byte, id string, body []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("cloister-workflow-record-v1\x00"))
	h.Write(prev[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(id)))
	h.Write(n[:])
	h.Write([]byte(id))
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// parseRecord checks the stored form: chain value, then the record as JSON.
func parseRecord(prev [32]byte, id string, seq uint64, b []byte) (record, [32]byte, error) {
	if len(b) < 32 {
		return record{}, prev, fmt.Errorf("%w: short record", ErrTampered)
	}
	sum := link(prev, id, b[32:])
	if !bytes.Equal(sum[:], b[:32]) {
		return record{}, prev, fmt.Errorf("%w: chain broken", ErrTampered)
	}
	var r record
	d := json.NewDecoder(bytes.NewReader(b[32:]))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || r.Seq != seq || r.Step < 0 || r.Step > 64 || len(r.Data) > MaxState {
		return record{}, prev, fmt.Errorf("%w: record", ErrTampered)
	}
	return r, sum, nil
}

// progress is what the records of a run add up to.
type progress struct {
	name, steps string
	state       State
	// started is how many steps were started, done how many ended well.
	started, done int
	// undoing is the step to undo next; meaningful while state is Undoing.
	undoing   int
	attempt   int // of the current Do or Undo
	failures  int // of the current Undo
	cancelled bool
	reason    string
	data      []byte
	first     time.Time
	last      time.Time
}

// add applies r, or refuses what no correct run would have written.
func (p *progress) add(r record) error {
	bad := func() error { return fmt.Errorf("%w: %s out of order", ErrTampered, r.Kind) }
	if (r.Kind == kindStart) != (p.state == "") || p.final() {
		return bad()
	}
	switch r.Kind {
	case kindStart:
		*p = progress{name: r.Name, steps: r.Steps, state: Running, data: r.Data, first: r.Time}
	case kindDo:
		if p.state != Running || r.Step != p.done {
			return bad()
		}
		p.started, p.attempt = r.Step+1, r.Attempt
	case kindState:
		p.data = r.Data
	case kindDone:
		if r.Step != p.done || p.started != r.Step+1 {
			return bad()
		}
		p.done, p.attempt, p.data = r.Step+1, 0, r.Data
	case kindFailed:
		p.attempt = r.Attempt
	case kindGiveUp, kindCancel:
		if p.state == Running {
			p.state, p.undoing, p.reason, p.attempt = Undoing, p.started-1, r.Reason, 0
		}
		p.cancelled = p.cancelled || r.Kind == kindCancel
	case kindUndo:
		if p.state != Undoing || r.Step != p.undoing {
			return bad()
		}
		p.attempt = r.Attempt
	case kindUndoFailed:
		p.failures++
	case kindUndone:
		if p.state != Undoing || r.Step != p.undoing {
			return bad()
		}
		p.undoing, p.attempt, p.failures, p.data = r.Step-1, 0, 0, r.Data
	case kindEnd:
		switch {
		case p.state == Running:
			p.state = Completed
		case p.undoing < 0:
			p.state = Undone
		default:
			return bad()
		}
	default:
		return bad()
	}
	p.last = r.Time
	return nil
}

func (p *progress) final() bool { return p.state == Completed || p.state == Undone }
