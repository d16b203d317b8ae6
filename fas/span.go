package fas

import (
	"slices"
	"time"
)

// Span is one step of the firewall's own work on a session, for a trace of the
// whole request. The steps follow one another without gaps.
type Span struct {
	// Name is "verify" (signature and time), "authorize", "replay", "key"
	// (registry and key service), "scope", "session", or "audit".
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
}

// Spans returns what the firewall spent on making the session; it is empty for
// a session that was redeemed. The times are the firewall's word and say
// nothing about any other call. Refusals carry none: how long a refusal took
// at which step is nobody's business.
func (s *Session) Spans() []Span { return slices.Clone(s.spans) }

// stopwatch collects spans.
type stopwatch struct {
	last  time.Time
	spans []Span
}

// steps is how many a call has at most.
const steps = 6

func startWatch() stopwatch { return stopwatch{last: time.Now(), spans: make([]Span, 0, steps)} }

// lap ends the step that ran since the last one.
func (w *stopwatch) lap(name string) {
	now := time.Now()
	w.spans = append(w.spans, Span{name, now.Sub(w.last)})
	w.last = now
}
