package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas"
)

// Trace measures the steps of one request, for the Server-Timing header of
// successful runtime answers. Refusals carry none, since the time of a refusal
// is nobody's business.
type Trace struct {
	last  time.Time
	steps []step
}

type step struct {
	name string
	d    time.Duration
}

func newTrace() *Trace { return &Trace{last: time.Now()} }

func (t *Trace) step(name string) {
	now := time.Now()
	t.steps = append(t.steps, step{name, now.Sub(t.last)})
	t.last = now
}

// inside notes the parts of the last step, which ran somewhere else.
func (t *Trace) inside(parts []fas.Span) {
	if len(t.steps) == 0 {
		return
	}
	whole := t.steps[len(t.steps)-1].name
	for _, p := range parts {
		t.steps = append(t.steps, step{whole + "." + p.Name, p.Took})
	}
}

// Step ends the step that ran since the last one.
func (t *Trace) Step(name string) { t.step(name) }

// String is the Server-Timing form (https://www.w3.org/TR/server-timing/):
// milliseconds by step, in order. A name with a dot is a part of the step
// before the dot.
func (t *Trace) String() string {
	var b strings.Builder
	for i, s := range t.steps {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s;dur=%.3f", s.name, float64(s.d.Microseconds())/1000)
	}
	return b.String()
}
