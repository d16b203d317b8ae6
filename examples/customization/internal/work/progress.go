package work

import (
	"context"
	"encoding/json"
	"time"
)

// Step is a progress report of a worker: counts only.
type Step struct {
	Name    string `json:"name"`
	Files   int    `json:"files"`
	Of      int    `json:"of"`
	Bytes   int64  `json:"bytes"`
	OfBytes int64  `json:"of_bytes"`
	Chunks  int    `json:"chunks"`
}

type progressKey struct{}

// WithProgress makes reports of the workers go to send: the first and the last
// of a step, and between them at most twenty a second.
func WithProgress(ctx context.Context, send func([]byte)) context.Context {
	var last time.Time
	var name string
	return context.WithValue(ctx, progressKey{}, func(s Step) {
		if s.Name == name && s.Files != s.Of && time.Since(last) < 50*time.Millisecond {
			return
		}
		last, name = time.Now(), s.Name
		if b, err := json.Marshal(s); err == nil {
			send(b)
		}
	})
}

func progressFrom(ctx context.Context) func(Step) {
	if f, ok := ctx.Value(progressKey{}).(func(Step)); ok {
		return f
	}
	return func(Step) {}
}
