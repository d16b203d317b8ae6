package gpuinfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cloisterdev/cloister/fas"
)

const (
	loadTime     = time.Minute            // for a process to be ready
	completeTime = 10 * time.Second       // for an answer, unless the caller's deadline says
	graceTime    = 200 * time.Millisecond // between the end of the connection and the kill
)

// process is one generation of a slot.
type process struct {
	cmd   *exec.Cmd
	conn  net.Conn
	gen   int
	cpus  []int
	pin   bool
	users int           // leases; under the pool's lock
	dead  atomic.Bool   // nothing more is asked
	ended chan struct{} // closed when the process is no more
	turn  chan struct{} // holds whoever asks: one completion at a time
	asked int           // under turn
}

func (p *Pool) start(ctx context.Context, cpus []int, gen int, ses *fas.Session) (*process, error) {
	file, err := p.c.Source.Snapshot(ctx, ses)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	mine, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	conn, err := net.FileConn(mine)
	if err = errors.Join(err, mine.Close()); err != nil {
		return nil, errors.Join(ErrSlot, err, theirs.Close())
	}
	cmd := exec.Command(p.c.Command[0], p.c.Command[1:]...)
	// The environment is an allow-list: no credential reaches a slot. The
	// runtime must not open control-group files, and uses as many threads as
	// it has cores.
	cmd.Env = []string{"GODEBUG=containermaxprocs=0,updatemaxprocs=0", fmt.Sprintf("GOMAXPROCS=%d", max(1, len(cpus))), "GOTRACEBACK=none"}
	cmd.ExtraFiles = []*os.File{theirs, file}
	cmd.Stderr = p.c.Stderr
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = p.c.Attr
	err = pinned(cpus, cmd)
	// Only the process has its end now, so that the end of the process is the
	// end of the connection.
	if err = errors.Join(err, theirs.Close()); err != nil {
		return nil, fmt.Errorf("%w: start: %w", ErrSlot, errors.Join(err, conn.Close()))
	}
	proc := &process{cmd: cmd, conn: conn, gen: gen, cpus: cpus, ended: make(chan struct{}), turn: make(chan struct{}, 1)}
	go func() {
		_ = cmd.Wait()
		proc.dead.Store(true)
		close(proc.ended)
		p.wake() // its slot is free
	}()
	if err := proc.load(ctx, ses); err != nil {
		proc.end()
		return nil, fmt.Errorf("%w: %w", ErrSlot, err)
	}
	if p.c.Attest != nil {
		if err := p.c.Attest(cmd.Process.Pid); err != nil {
			proc.end()
			return nil, fmt.Errorf("%w: %w", ErrAttest, err)
		}
	}
	if len(cpus) > 0 {
		if err := attest(cmd.Process.Pid, cpus); err != nil {
			proc.end()
			return nil, err
		}
		proc.pin = true
	}
	return proc, nil
}

func (p *process) load(ctx context.Context, ses *fas.Session) error {
	_ = p.conn.SetDeadline(time.Now().Add(loadTime))
	defer context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })()
	err := ses.WithKey(fas.VerbComplete, func(key []byte) error {
		m := ses.Manifest()
		return writeFrame(p.conn, loadMessage{ses.Tenant(), ses.Customization(), ses.Collection(), ses.Snapshot(), m[:], key})
	})
	if err != nil {
		return err
	}
	var ready answerMessage
	if err := readFrame(p.conn, &ready); err != nil {
		return err
	}
	if ready.Error != "" {
		return errors.New("the model did not load")
	}
	return nil
}

// ask sends one prompt and reads its answer. The caller holds the turn.
func (p *process) ask(ctx context.Context, m promptMessage) ([]Token, error) {
	p.asked++
	m.N = p.asked
	b, err := frame(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer clear(b)
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(completeTime)
	}
	_ = p.conn.SetDeadline(deadline)
	var out answerMessage
	if _, err = p.conn.Write(b); err == nil {
		err = readFrame(p.conn, &out)
	}
	if err == nil && out.N != m.N {
		err = errors.New("an answer to another prompt")
	}
	if err != nil || out.Error != "" {
		// An answer that is late or broken must not become the next lease's.
		p.dead.Store(true)
		go p.end()
		return nil, errors.Join(ErrSlot, err)
	}
	return out.Tokens, nil
}

// end closes the lifeline, gives the process a moment, kills it, and returns
// when it is no more.
func (p *process) end() {
	p.dead.Store(true)
	_ = p.conn.Close()
	select {
	case <-p.ended:
		return
	case <-time.After(graceTime):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) info() SlotInfo {
	return SlotInfo{p.cmd.Process.Pid, p.gen, slices.Clone(p.cpus), p.pin}
}
