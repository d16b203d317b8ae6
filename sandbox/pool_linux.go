package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/tenant"
	"golang.org/x/sys/unix"
)

// Pool keeps confined workers that have had no request, and gives each one
// job. It is safe for concurrent use. Close it.
type Pool struct {
	config Config
	tier   Tier
	idle   chan taken
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
	filled sync.WaitGroup
	// mu orders the start of a job against Close.
	mu      sync.Mutex
	running sync.WaitGroup
	down    bool
}

type taken struct {
	w   *worker
	err error
}

// NewPool builds a worker at the strongest tier that works, at least
// Config.MinTier, and starts keeping Config.Size of them ready. Errors wrap
// [ErrConfig] or [ErrTier]; the latter says why for each tier tried.
func NewPool(c Config) (*Pool, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	first, err := build(&c)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		config: c, tier: first.tier,
		// The goroutine that fills holds one more worker in its hand.
		idle:   make(chan taken, c.Size-1),
		slots:  make(chan struct{}, c.MaxRunning),
		closed: make(chan struct{}),
	}
	p.filled.Go(func() { p.fill(first) })
	return p, nil
}

func build(c *Config) (*worker, error) {
	tiers := []Tier{TierNamespaced, TierConfined, TierProcess}
	if c.Tier != 0 {
		tiers = []Tier{c.Tier}
	}
	why := fmt.Errorf("%w", ErrTier)
	for _, t := range tiers {
		if t < c.MinTier {
			break
		}
		w, err := spawn(c, t)
		if err == nil {
			return w, nil
		}
		why = fmt.Errorf("%w; %v: %w", why, t, err)
	}
	return nil, why
}

// Probe returns the strongest tier for which a worker could really be built
// with command, as in [Config].Command, and why the stronger ones could not;
// the error is nil when the strongest could. Without a command it can build
// none and returns zero and an error.
func Probe(command ...string) (best Tier, why error) {
	if len(command) == 0 {
		return 0, fmt.Errorf("%w: %w", ErrTier, errNoCommand)
	}
	for _, t := range []Tier{TierNamespaced, TierConfined, TierProcess} {
		c := Config{MinTier: t, Tier: t, Command: command, Deadline: time.Minute}
		if err := c.check(); err != nil {
			return 0, err
		}
		w, err := build(&c)
		if err == nil {
			w.kill()
			return t, why
		}
		why = errors.Join(why, err)
	}
	return 0, why
}

// Tier returns the tier at which the pool's workers run.
func (p *Pool) Tier() Tier { return p.tier }

func (p *Pool) fill(first *worker) {
	t, backoff := taken{w: first}, 50*time.Millisecond
	for {
		var retry <-chan time.Time
		if t.err != nil {
			retry = time.After(backoff)
			backoff = min(2*backoff, 5*time.Second)
		} else {
			backoff = 50 * time.Millisecond
		}
		select {
		case p.idle <- t:
		case <-retry:
		case <-p.closed:
			if t.w != nil {
				t.w.kill()
			}
			return
		}
		w, err := spawn(&p.config, p.tier)
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrTier, err)
		}
		t = taken{w, err}
	}
}

func (p *Pool) take(ctx context.Context) (*worker, error) {
	for {
		select {
		case t := <-p.idle:
			if t.err != nil {
				return nil, t.err
			}
			if t.w.dead() {
				t.w.kill()
				continue
			}
			return t.w, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.closed:
			return nil, ErrClosed
		}
	}
}

// Run gives j to one worker that has never had a request, and returns its
// answer when the worker is gone. A failed, killed or lying worker yields no
// reply: see the errors of this package.
func (p *Pool) Run(ctx context.Context, j Job) (Result, error) {
	if err := p.config.checkJob(j); err != nil {
		return Result{}, err
	}
	if j.Deadline == 0 {
		j.Deadline = p.config.Deadline
	}
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return Result{}, ErrClosed
	}
	p.running.Add(1)
	p.mu.Unlock()
	defer p.running.Done()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case <-p.closed:
		return Result{}, ErrClosed
	}
	w, err := p.take(ctx)
	if err != nil {
		return Result{}, err
	}
	defer w.kill()
	return w.run(ctx, j, p.config.MaxMessage)
}

// Close kills the unused workers, lets no new job start and waits for the
// running ones, each of which has a deadline. It is harmless twice.
func (p *Pool) Close() error {
	p.once.Do(func() {
		p.mu.Lock()
		p.down = true
		p.mu.Unlock()
		close(p.closed)
		p.filled.Wait()
		p.running.Wait()
		for {
			select {
			case t := <-p.idle:
				if t.w != nil {
					t.w.kill()
				}
				continue
			default:
			}
			break
		}
	})
	return nil
}

// leaving is how long a worker may take to end after its answer: on a machine
// that is busy the kernel's work alone may take seconds.
const leaving = 10 * time.Second

func (w *worker) run(ctx context.Context, j Job, maxMessage int) (Result, error) {
	if w.used {
		return Result{}, ErrUsed
	}
	w.used = true
	deadline := time.Now().Add(j.Deadline)
	if err := w.conn.SetDeadline(deadline); err != nil {
		return Result{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	defer clear(key)
	if err := w.send(j, key); err != nil {
		return Result{}, w.failure(ctx, err)
	}
	reply, d, err := w.receive(j, maxMessage)
	if err != nil {
		return Result{}, w.failure(ctx, err)
	}
	a := Attestation{
		Tier: w.tier, PID: w.process.Pid, Handled: d.Handled, Observed: w.seen, Started: w.started,
		RequestDigest: sha256.Sum256(j.Request), ReplyDigest: sha256.Sum256(reply),
	}
	if d.Handled != 1 || !hmac.Equal(d.MAC, claim(key, 1, w.layers, a.RequestDigest, a.ReplyDigest, d.Code)) {
		return Result{}, fmt.Errorf("%w: claim", ErrAttestation)
	}
	select {
	case <-w.exited:
	case <-time.After(leaving):
		return Result{}, fmt.Errorf("%w: worker stayed after its answer", ErrAttestation)
	}
	a.Ended = time.Now()
	if w.state == nil || w.state.ExitCode() != 0 {
		return Result{}, fmt.Errorf("%w: exit status", ErrAttestation)
	}
	if d.Code != "" {
		return Result{}, &JobError{Code: d.Code, Diagnostic: diagnostic(d.Diagnostic)}
	}
	return Result{Reply: reply, Attestation: a}, nil
}

func (w *worker) send(j Job, key []byte) error {
	h, err := json.Marshal(header{Kind: j.Kind, Size: len(j.Request), Files: len(j.Files), Key: key})
	if err != nil {
		return err
	}
	// Raw descriptors, because File.Fd would make the caller's sockets blocking.
	fds := make([]int, len(j.Files))
	for i, f := range j.Files {
		c, err := f.SyscallConn()
		if err != nil {
			return fmt.Errorf("%w: file %d: %w", ErrConfig, i, err)
		}
		if err := c.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return fmt.Errorf("%w: file %d: %w", ErrConfig, i, err)
		}
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err = w.conn.WriteMsgUnix(frame(frameHeader, h), oob, nil)
	runtime.KeepAlive(j.Files)
	if err != nil {
		return err
	}
	if err := frames(j.Request, func(b []byte) error {
		_, _, err := w.conn.WriteMsgUnix(b, nil, nil)
		return err
	}); err != nil {
		return err
	}
	return w.conn.CloseWrite()
}

func (w *worker) receive(j Job, maxMessage int) ([]byte, done, error) {
	var reply []byte
	buf := make([]byte, frameSize+1)
	for {
		n, _, flags, _, err := w.conn.ReadMsgUnix(buf, nil)
		if err != nil {
			return nil, done{}, err
		}
		if n == 0 || flags&unix.MSG_TRUNC != 0 {
			return nil, done{}, fmt.Errorf("%w: frame", ErrProtocol)
		}
		body := buf[1:n]
		switch buf[0] {
		case frameData:
			if len(reply)+len(body) > maxMessage {
				return nil, done{}, fmt.Errorf("%w: reply", ErrProtocol)
			}
			reply = append(reply, body...)
		case frameProgress:
			if j.OnProgress != nil {
				j.OnProgress(append([]byte(nil), body...))
			}
		case frameDone:
			d, err := parseDone(body)
			return reply, d, err
		default:
			return nil, done{}, fmt.Errorf("%w: frame kind", ErrProtocol)
		}
	}
}

// failure names why the exchange with the worker broke off.
func (w *worker) failure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrDeadline
	case errors.Is(err, ErrProtocol), errors.Is(err, ErrConfig):
		return err
	}
	_ = w.process.Kill()
	<-w.exited
	return &JobError{Code: "crashed", Diagnostic: diagnostic(w.stderr.text()), crashed: true}
}

func diagnostic(s string) tenant.Text {
	t, err := tenant.NewText(s, 1024)
	if err != nil {
		return tenant.Text{}
	}
	return t
}
