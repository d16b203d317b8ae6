package workflow

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	runsBucket  = []byte("runs")  // run ID -> bucket of sequence number -> record
	headsBucket = []byte("heads") // run ID -> count and chain value
)

// Journal is the durable record of runs, and what drives them. It is safe for
// concurrent use. Close it.
type Journal struct {
	db   *bbolt.DB
	opts Options

	ctx    context.Context
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	writes int
	defs   map[string]*definition
	runs   map[string]*run
}

// run is guarded by Journal.mu.
type run struct {
	id   string
	head [32]byte
	seq  uint64
	p    progress
	// live is set while a goroutine drives the run.
	live        bool
	stop        context.CancelCauseFunc // ends the current Do
	ended       chan struct{}           // closed when final
	done, total int64
	stuck       bool
}

// Open opens or creates the journal in the file at path, verifies all of it, and
// owns it until Close. Nothing runs before [Journal.Resume] or [Journal.Start].
// Errors wrap [ErrLocked], [ErrTampered] or what the system says.
func Open(path string, opts *Options) (*Journal, error) {
	j := &Journal{defs: map[string]*definition{}, runs: map[string]*run{}}
	if opts != nil {
		j.opts = *opts
	}
	if j.opts.Backoff < 0 || j.opts.StuckAfter < 0 {
		return nil, fmt.Errorf("%w: options", ErrConfig)
	}
	if j.opts.Backoff == 0 {
		j.opts.Backoff = 100 * time.Millisecond
	}
	if j.opts.StuckAfter == 0 {
		j.opts.StuckAfter = 3
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("workflow: open: %w", err)
	}
	j.db = db
	if err := j.load(); err != nil {
		db.Close()
		return nil, err
	}
	j.ctx, j.cancel = context.WithCancelCause(context.Background())
	return j, nil
}

func (j *Journal) load() error {
	if err := j.db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(runsBucket); err != nil {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(headsBucket)
		return err
	}); err != nil {
		return fmt.Errorf("workflow: open: %w", err)
	}
	return j.db.View(func(tx *bbolt.Tx) error {
		heads, runs := tx.Bucket(headsBucket), tx.Bucket(runsBucket)
		if err := runs.ForEachBucket(func(k []byte) error {
			r := &run{id: string(k), ended: make(chan struct{})}
			if err := runs.Bucket(k).ForEach(func(_, v []byte) error {
				rec, sum, err := parseRecord(r.head, r.id, r.seq, v)
				if err != nil {
					return err
				}
				r.head, r.seq = sum, r.seq+1
				return r.p.add(rec)
			}); err != nil {
				return fmt.Errorf("run %q: %w", r.id, err)
			}
			if !bytes.Equal(heads.Get(k), headValue(r)) || r.seq == 0 || !validName(r.id) {
				return fmt.Errorf("run %q: %w: head", r.id, ErrTampered)
			}
			if r.p.final() {
				close(r.ended)
			}
			r.stuck = r.p.failures >= j.opts.StuckAfter
			j.runs[r.id] = r
			return nil
		}); err != nil {
			return err
		}
		return heads.ForEach(func(k, _ []byte) error {
			if j.runs[string(k)] == nil {
				return fmt.Errorf("%w: head without run", ErrTampered)
			}
			return nil
		})
	})
}

func headValue(r *run) []byte {
	return append(binary.BigEndian.AppendUint64(nil, r.seq), r.head[:]...)
}

// write makes rec durable and applies it. The caller holds j.mu.
func (j *Journal) write(r *run, rec record) error {
	if j.closed {
		return ErrClosed
	}
	rec.Seq, rec.Time = r.seq, time.Now().UTC()
	next := *r
	if err := next.p.add(rec); err != nil {
		return err
	}
	body, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	next.head, next.seq = link(r.head, r.id, body), r.seq+1
	if err := j.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.Bucket(runsBucket).CreateBucketIfNotExists([]byte(r.id))
		if err != nil {
			return err
		}
		if err := b.Put(binary.BigEndian.AppendUint64(nil, rec.Seq), append(next.head[:], body...)); err != nil {
			return err
		}
		return tx.Bucket(headsBucket).Put([]byte(r.id), headValue(&next))
	}); err != nil {
		return fmt.Errorf("workflow: write: %w", err)
	}
	r.p, r.head, r.seq = next.p, next.head, next.seq
	if r.p.final() {
		close(r.ended)
	}
	j.writes++
	if j.opts.AfterWrite != nil {
		j.opts.AfterWrite(j.writes)
	}
	return nil
}

func (j *Journal) event(r *run, kind string, step string, attempt int, why string) {
	if j.opts.OnEvent != nil {
		j.opts.OnEvent(Event{Run: r.id, Name: r.p.name, Kind: kind, Step: step, Reason: why, Attempt: attempt, Done: r.done, Total: r.total})
	}
}

// Define names a workflow. A later process must define it with the same step
// names in the same order to resume its runs. Errors wrap [ErrConfig].
func (j *Journal) Define(name string, steps ...Step) error {
	d, err := define(name, steps)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.defs[name] != nil {
		return fmt.Errorf("%w: workflow %s is defined already", ErrConfig, name)
	}
	j.defs[name] = d
	return nil
}

// Start journals a run of the named workflow and begins it. id is a machine's
// ID, [a-z0-9.-]{1,64}. A second Start with the same arguments does nothing and
// returns nil, whatever became of the run; with others it returns [ErrExists].
// ctx bounds the start only.
func (j *Journal) Start(ctx context.Context, name, id string, state []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !validName(id) {
		return fmt.Errorf("%w: run ID", ErrConfig)
	}
	if len(state) > MaxState {
		return fmt.Errorf("%w: %d bytes", ErrState, len(state))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	d := j.defs[name]
	if d == nil {
		return fmt.Errorf("%w: %s", ErrUndefined, id)
	}
	if old := j.runs[id]; old != nil {
		return j.sameStart(old, name, state)
	}
	r := &run{id: id, ended: make(chan struct{})}
	if err := j.write(r, record{Kind: kindStart, Name: name, Steps: d.digest, Data: state}); err != nil {
		return err
	}
	j.runs[id] = r
	j.event(r, kindStart, "", 0, "")
	j.drive(r, d)
	return nil
}

func (j *Journal) sameStart(r *run, name string, state []byte) error {
	var first record
	if err := j.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(runsBucket).Bucket([]byte(r.id)).Get(make([]byte, 8))
		var err error
		first, _, err = parseRecord([32]byte{}, r.id, 0, v)
		return err
	}); err != nil {
		return err
	}
	if r.p.name != name || !bytes.Equal(first.Data, state) {
		return fmt.Errorf("%w: %s", ErrExists, r.id)
	}
	return nil
}

// Resume goes on with every run that has not ended. Runs whose definition is
// missing or changed stay as they are, and are in the error, which wraps
// [ErrUndefined]; the others run. It is harmless twice.
func (j *Journal) Resume(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	var errs []error
	for _, id := range j.ids() {
		r := j.runs[id]
		if r.p.final() || r.live {
			continue
		}
		d := j.defs[r.p.name]
		if d == nil || d.digest != r.p.steps {
			errs = append(errs, fmt.Errorf("%w: %s", ErrUndefined, id))
			continue
		}
		j.drive(r, d)
	}
	return errors.Join(errs...)
}

func (j *Journal) ids() []string {
	ids := make([]string, 0, len(j.runs))
	for id := range j.runs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Cancel journals the intent to take the run back, ends the context of the step
// at work and returns; [Journal.Wait] tells when all is undone. A second Cancel
// is harmless. Errors wrap [ErrUnknown] or [ErrFinished].
func (j *Journal) Cancel(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.runs[id]
	switch {
	case j.closed:
		return ErrClosed
	case r == nil:
		return ErrUnknown
	case r.p.cancelled && r.p.state != Completed:
		return nil
	case r.p.final():
		return fmt.Errorf("%w: %s", ErrFinished, id)
	}
	if err := j.write(r, record{Kind: kindCancel, Reason: "cancelled"}); err != nil {
		return err
	}
	j.event(r, kindCancel, "", 0, "cancelled")
	if r.stop != nil {
		r.stop(ErrCancelled)
	}
	return nil
}

// Wait returns when the run has ended. The error is nil only for a completed
// run; it wraps [ErrUndone] for one that was taken back, [ErrUnknown],
// [ErrClosed], or is the context's.
func (j *Journal) Wait(ctx context.Context, id string) (Status, error) {
	j.mu.Lock()
	r := j.runs[id]
	j.mu.Unlock()
	if r == nil {
		return Status{}, ErrUnknown
	}
	select {
	case <-r.ended:
	default:
		select {
		case <-r.ended:
		case <-ctx.Done():
			return Status{}, ctx.Err()
		case <-j.ctx.Done():
			return Status{}, ErrClosed
		}
	}
	s, err := j.Status(id)
	if err == nil && s.State != Completed {
		err = fmt.Errorf("%w: %s: %s", ErrUndone, id, s.Reason)
	}
	return s, err
}

// Status returns where the run stands, or [ErrUnknown].
func (j *Journal) Status(id string) (Status, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.runs[id]
	if r == nil {
		return Status{}, ErrUnknown
	}
	return j.status(r), nil
}

func (j *Journal) status(r *run) Status {
	s := Status{
		ID: r.id, Name: r.p.name, State: r.p.state, Attempt: r.p.attempt, Cancelled: r.p.cancelled,
		Reason: r.p.reason, Stuck: r.stuck, Done: r.done, Total: r.total,
		Data: append([]byte(nil), r.p.data...), Started: r.p.first, Changed: r.p.last,
	}
	at := r.p.started - 1
	if r.p.state == Undoing {
		at = r.p.undoing
	}
	if d := j.defs[r.p.name]; d != nil && d.digest == r.p.steps && at >= 0 && at < len(d.steps) {
		s.Step = d.steps[at].Name
	}
	return s
}

// Stuck returns the runs of which an undo keeps failing: something is left over
// in the world, and an operator is needed. They are still being retried.
func (j *Journal) Stuck() []Status {
	return j.list(func(r *run) bool { return r.stuck && !r.p.final() })
}

// List returns all runs, by ID.
func (j *Journal) List() []Status { return j.list(func(*run) bool { return true }) }

func (j *Journal) list(want func(*run) bool) []Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []Status
	for _, id := range j.ids() {
		if want(j.runs[id]) {
			out = append(out, j.status(j.runs[id]))
		}
	}
	return out
}

// Forget removes an ended run from the journal; its ID may then be used again,
// so use IDs that never recur. Errors wrap [ErrUnknown] or [ErrUnfinished].
func (j *Journal) Forget(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.runs[id]
	switch {
	case j.closed:
		return ErrClosed
	case r == nil:
		return ErrUnknown
	case !r.p.final():
		return fmt.Errorf("%w: %s", ErrUnfinished, id)
	}
	if err := j.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(runsBucket).DeleteBucket([]byte(id)); err != nil {
			return err
		}
		return tx.Bucket(headsBucket).Delete([]byte(id))
	}); err != nil {
		return fmt.Errorf("workflow: forget: %w", err)
	}
	delete(j.runs, id)
	return nil
}

// Close ends the contexts of all steps, waits for them and gives the file free.
// Runs stay as they are for the next process. It is harmless twice.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	j.cancel(ErrClosed)
	j.work.Wait()
	return j.db.Close()
}
