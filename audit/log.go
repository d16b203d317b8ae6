package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/internal/filelock"
)

const (
	recordsFile    = "records.jsonl"
	checkpointFile = "checkpoint"
	keyFile        = "signing.key"
	publicFile     = "verifier.key"
	keyName        = "cloister-audit"
	queueSize      = 4096
	batch          = 32        // records that the writer is woken for; fewer wait for the next flush
	maxLine        = 128 << 10 // more than any event within its limits needs
)

// Options tune a log. The zero value is the default.
type Options struct {
	// FlushInterval bounds how long an appended record may wait for its fsync;
	// zero means 50 ms.
	FlushInterval time.Duration
	// CheckpointInterval is the time between signed checkpoints while records
	// come; zero means 1 s.
	CheckpointInterval time.Duration
}

// Log is the only writer of an audit directory.
type Log struct {
	dir    string
	f      *os.File
	unlock func() error
	signer note.Signer
	o      Options
	in     chan pending
	wake   chan struct{} // there is something in in that must not wait
	stop   chan struct{}
	done   chan struct{}

	mu       sync.Mutex
	broken   error // of the records: for good
	unsigned error // of the last checkpoint: until one succeeds
	closed   bool
	senders  sync.WaitGroup
}

type pending struct {
	e          Event
	durable    bool
	checkpoint bool
	reply      chan error
}

// Open opens, or makes, the log in dir. A torn last line, which only a crash
// before its fsync can leave, is removed. Errors wrap [ErrLocked],
// [ErrTampered] or [ErrTruncated].
func Open(dir string, opts *Options) (*Log, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.FlushInterval <= 0 {
		o.FlushInterval = 50 * time.Millisecond
	}
	if o.CheckpointInterval <= 0 {
		o.CheckpointInterval = time.Second
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := filelock.Alone(dir)
	if errors.Is(err, filelock.ErrLocked) {
		err = errors.Join(ErrLocked, err)
	}
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, unlock: unlock, o: o, in: make(chan pending, queueSize), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	if l.signer, err = signer(dir); err != nil {
		return nil, errors.Join(err, unlock())
	}
	t, err := l.load()
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	go l.write(t)
	return l, nil
}

func signer(dir string) (note.Signer, error) {
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if errors.Is(err, os.ErrNotExist) {
		// Another key beside a log would make its checkpoint one of somebody else,
		// and put the public key in its place that still verifies it.
		for _, name := range []string{recordsFile, checkpointFile} {
			if i, serr := os.Stat(filepath.Join(dir, name)); serr == nil && i.Size() > 0 {
				return nil, fmt.Errorf("audit: %s is missing beside a log: put it back, or move the log away to begin another: %w", filepath.Join(dir, keyFile), err)
			}
		}
		skey, vkey, err := note.GenerateKey(rand.Reader, keyName)
		if err != nil {
			return nil, err
		}
		if err := durable.Replace(filepath.Join(dir, publicFile), []byte(vkey+"\n"), 0o644); err != nil {
			return nil, err
		}
		if err := durable.Replace(filepath.Join(dir, keyFile), []byte(skey), 0o600); err != nil {
			return nil, err
		}
		return note.NewSigner(skey)
	}
	if err != nil {
		return nil, err
	}
	return note.NewSigner(strings.TrimSpace(string(b)))
}

// load reads what is there, drops a torn tail and checks the rest against the
// last checkpoint before anything is appended to it.
func (l *Log) load() (*tree, error) {
	path := filepath.Join(l.dir, recordsFile)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	t := &tree{}
	for line := range bytes.Lines(b[:whole]) {
		if _, err := t.check(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return nil, err
		}
	}
	if _, err := checkAgainst(l.dir, t); err != nil && !errors.Is(err, ErrNoCheckpoint) {
		return nil, err
	}
	if l.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err := l.f.Truncate(int64(whole)); err != nil {
		return nil, err
	}
	if _, err = l.f.Seek(int64(whole), 0); err != nil {
		return nil, err
	}
	// A new file is as durable as its entry, and that of its directory, which
	// whoever made it may have closed to this process.
	_ = durable.SyncDir(filepath.Dir(l.dir))
	return t, durable.SyncDir(l.dir)
}

// Record implements [Recorder].
func (l *Log) Record(ctx context.Context, e Event) error {
	return l.send(ctx, pending{e: e, durable: true})
}

// Append implements [Recorder].
func (l *Log) Append(ctx context.Context, e Event) error { return l.send(ctx, pending{e: e}) }

// Checkpoint makes everything so far durable and signs it.
func (l *Log) Checkpoint(ctx context.Context) error {
	return l.send(ctx, pending{checkpoint: true, durable: true})
}

func (l *Log) send(ctx context.Context, p pending) error {
	if !p.checkpoint {
		if p.e.Time.IsZero() {
			p.e.Time = time.Now()
		}
		if err := p.e.check(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	if l.closed || l.broken != nil || l.unsigned != nil && !p.checkpoint {
		err := errors.Join(l.broken, l.unsigned)
		l.mu.Unlock()
		return errors.Join(ErrUnavailable, err)
	}
	l.senders.Add(1)
	l.mu.Unlock()
	defer l.senders.Done()
	if p.durable {
		p.reply = make(chan error, 1)
	}
	select {
	case l.in <- p:
	case <-ctx.Done():
		return errors.Join(ErrUnavailable, ctx.Err())
	}
	if p.durable || len(l.in) >= batch {
		select {
		case l.wake <- struct{}{}:
		default: // it will look again
		}
	}
	if !p.durable {
		// A full disk must stop the service, not only the log: the next call
		// learns of it.
		return nil
	}
	// The record is in the queue and will be written; the caller who gives up
	// waiting must not act on it.
	select {
	case err := <-p.reply:
		return err
	case <-ctx.Done():
		return errors.Join(ErrUnavailable, ctx.Err())
	}
}

// Close writes what waits and a checkpoint, and releases the directory. It is
// harmless twice.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.senders.Wait()
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.broken, l.unsigned, l.f.Close(), l.unlock())
}

// write is the one goroutine that touches the file.
func (l *Log) write(t *tree) {
	defer close(l.done)
	w := bufio.NewWriterSize(l.f, 1<<20)
	flush := time.NewTicker(min(l.o.FlushInterval, l.o.CheckpointInterval))
	defer flush.Stop()
	lastCheckpoint, dirty, unsigned := time.Now(), false, false
	var signing error
	sync := func() error {
		dirty = false
		if err := w.Flush(); err != nil {
			return err
		}
		return l.f.Sync()
	}
	var waiting []pending
	for stopping := false; !stopping; {
		wantCheckpoint, wantSync := false, false
		select {
		case <-l.wake:
		case <-flush.C:
			wantSync = true
		case <-l.stop:
			stopping, wantSync, wantCheckpoint = true, true, true
		}
		waiting = waiting[:0]
		for len(l.in) > 0 && len(waiting) < queueSize {
			waiting = append(waiting, <-l.in)
		}
		err := l.broken
		for _, p := range waiting {
			wantSync = wantSync || p.durable
			wantCheckpoint = wantCheckpoint || p.checkpoint
			if err == nil && !p.checkpoint {
				err = l.line(w, t, &p.e)
				dirty, unsigned = true, true
			}
		}
		if err == nil && wantSync && dirty {
			err = sync()
		}
		if err == nil && unsigned && (wantCheckpoint || signing != nil || time.Since(lastCheckpoint) > l.o.CheckpointInterval) {
			if dirty {
				err = sync()
			}
			if err == nil {
				// The records stand. What fails here, such as for want of a
				// file descriptor, may pass.
				signing = l.checkpoint(t)
				lastCheckpoint, unsigned = time.Now(), signing != nil
			}
		}
		l.mu.Lock()
		l.broken, l.unsigned = err, signing
		l.mu.Unlock()
		for _, p := range waiting {
			if p.reply == nil {
				continue
			}
			failed := err
			if failed == nil && p.checkpoint {
				failed = signing
			}
			if failed != nil {
				failed = errors.Join(ErrUnavailable, failed)
			}
			p.reply <- failed
		}
		clear(waiting) // a quiet log keeps nobody's events
	}
}

func (l *Log) line(w *bufio.Writer, t *tree, e *Event) error {
	line, err := e.encode(t.n, t.prev)
	if err != nil {
		return err
	}
	if err := t.add(line); err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

func (l *Log) checkpoint(t *tree) error {
	root, err := t.root()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", keyName, t.n, root)
	b, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(l.dir, checkpointFile), b, 0o644)
}

var _ tlog.HashReader = (*tree)(nil)
