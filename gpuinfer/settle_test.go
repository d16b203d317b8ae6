//go:build unix

package gpuinfer

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/cloisterdev/cloister/fas"
)

type nothing struct{}

func (nothing) Snapshot(context.Context, *fas.Session) (*os.File, error) { return nil, os.ErrNotExist }

// A process that gets ready in the moment in which its pool is closed is ended
// before the start is over.
func TestReadyAfterClose(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{true, false} {
		p, err := NewPool(Config{Partitions: make([]Partition, 1), Command: []string{"x"}, Source: nothing{}})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "3600")
		if err := cmd.Start(); err != nil {
			t.Skipf("no program that waits: %v", err)
		}
		mine, theirs := net.Pipe()
		defer theirs.Close()
		proc := &process{cmd: cmd, conn: mine, ended: make(chan struct{}), turn: make(chan struct{}, 1)}
		go func() { _ = cmd.Wait(); close(proc.ended) }()
		if closed {
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		a := &attempt{ready: make(chan struct{})}
		p.settle(p.slots[0], a, proc, nil)
		<-a.ready
		gone := false
		select {
		case <-proc.ended:
			gone = true
		default:
		}
		if gone != closed || (a.proc == nil) != closed || errors.Is(a.err, ErrStaleLease) != closed || len(p.Slots()) == 1 == closed {
			t.Errorf("closed %v: gone %v, %v, %d slots", closed, gone, a.err, len(p.Slots()))
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Kill() // whatever went wrong
		<-proc.ended
	}
}
