package front

import (
	"slices"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
	"github.com/cloisterdev/cloister/tenant"
)

// progress keeps what ingestions reported: counts only, in memory only. A
// finished one is kept, so that whoever waits sees the last step's end, until
// the customization is removed or there are too many.
type progress struct {
	mu sync.Mutex
	m  map[tenant.CustomizationID]*ingestion
}

// ingestion is one customization's steps; the last one runs.
type ingestion struct {
	steps   []api.StepProgress
	started time.Time // the running step
	ended   bool
}

// maxProgress bounds how many ingestions are remembered.
const maxProgress = 10_000

func newProgress() *progress { return &progress{m: map[tenant.CustomizationID]*ingestion{}} }

// begin forgets an earlier version's steps.
func (p *progress) begin(id tenant.CustomizationID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.m) >= maxProgress {
		for old, in := range p.m {
			if in.ended {
				delete(p.m, old)
			}
		}
	}
	p.m[id] = &ingestion{steps: []api.StepProgress{{Step: "queued"}}, started: time.Now()}
}

// report takes a worker's counts, which are the worker's word.
func (p *progress) report(id tenant.CustomizationID, s work.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.m[id]
	if in == nil { // resumed after a restart
		in = &ingestion{started: time.Now()}
		p.m[id] = in
	}
	last := len(in.steps) - 1
	if last < 0 || in.steps[last].Step != s.Name {
		if last >= 0 {
			in.steps[last].Seconds = time.Since(in.started).Seconds()
		}
		in.steps, in.started = append(in.steps, api.StepProgress{}), time.Now()
		last++
	}
	in.steps[last] = api.StepProgress{Step: s.Name, Files: s.Files, TotalFiles: s.Of, Bytes: s.Bytes, TotalBytes: s.OfBytes, Chunks: s.Chunks}
}

// end stops the clock of the last step.
func (p *progress) end(id tenant.CustomizationID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if in := p.m[id]; in != nil && !in.ended {
		in.ended = true
		if n := len(in.steps); n > 0 {
			in.steps[n-1].Seconds = time.Since(in.started).Seconds()
		}
	}
}

func (p *progress) clear(id tenant.CustomizationID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.m, id)
}

func (p *progress) get(id tenant.CustomizationID) *api.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.m[id]
	if in == nil || len(in.steps) == 0 {
		return nil
	}
	if in.ended {
		return &api.Progress{StepProgress: api.StepProgress{Step: "ended"}, Percent: 100, Done: slices.Clone(in.steps)}
	}
	n := len(in.steps) - 1
	out := &api.Progress{StepProgress: in.steps[n], Done: slices.Clone(in.steps[:n])}
	out.Seconds = time.Since(in.started).Seconds()
	if out.TotalBytes > 0 {
		// A worker that reports more than there is does not make a negative wait.
		done := min(float64(out.Bytes)/float64(out.TotalBytes), 1)
		out.Percent = int(100 * done)
		if done > 0 {
			out.ETASeconds = out.Seconds * (1 - done) / done
		}
	}
	return out
}
