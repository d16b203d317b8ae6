package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// progress counts what is read and says so, on a terminal or when asked to,
// from the second second on.
type progress struct {
	r           io.Reader
	w           io.Writer // nil when nothing is said
	n, total    int64     // total is 0 when it is not known
	start, last time.Time
	said        bool
}

func startProgress(in io.Reader, errOut io.Writer, always bool) *progress {
	p := &progress{r: in, start: time.Now()}
	p.last = p.start
	if f, ok := in.(*os.File); ok {
		if i, err := f.Stat(); err == nil && i.Mode().IsRegular() {
			p.total = i.Size()
		}
	}
	if always || terminal(errOut) {
		p.w = errOut
	}
	return p
}

// interruptible lets reads end with ctx, where they may wait: for a pipe, or a
// terminal. Otherwise an interrupted command would go on waiting, its temporary
// file in place. It returns what stops it.
func (p *progress) interruptible(ctx context.Context) (stop func()) {
	f, ok := p.r.(*os.File)
	if !ok || p.total > 0 {
		return func() {}
	}
	r, w := io.Pipe()
	p.r = r
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.CopyBuffer(w, struct{ io.Reader }{f}, make([]byte, 128<<10))
		w.CloseWithError(err)
	}()
	return func() { r.Close() }
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	i, err := f.Stat()
	return err == nil && i.Mode()&os.ModeCharDevice != 0
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if now := time.Now(); p.w != nil && now.Sub(p.last) >= time.Second {
		p.last = now
		p.say(now)
	}
	return n, err
}

func (p *progress) say(now time.Time) {
	const mib = 1 << 20
	p.said = true
	rate := float64(p.n) / mib / now.Sub(p.start).Seconds()
	if p.total > 0 && p.n <= p.total {
		left := time.Duration(float64(p.total-p.n) / mib / max(rate, 1e-6) * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(p.w, "\r%5.1f %%  %d of %d MiB  %.0f MiB/s  %s left ", 100*float64(p.n)/float64(p.total), p.n/mib, p.total/mib, rate, left)
		return
	}
	fmt.Fprintf(p.w, "\r%d MiB  %.0f MiB/s ", p.n/mib, rate)
}

func (p *progress) end() {
	if p.said {
		p.say(time.Now())
		fmt.Fprintln(p.w)
	}
}
