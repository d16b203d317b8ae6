package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// play is the whole program where its arguments make it one of those that are
// measured: it ends when its input does.
func play(args []string, in io.Reader, out io.Writer) (played bool, err error) {
	switch {
	case len(args) == 2 && args[1] == peerRole:
		return true, servePeer(in, out)
	case len(args) == 3 && askedRoles[args[1]] != nil:
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			defer cancel()
			_, _ = io.Copy(io.Discard, in)
		}()
		return true, askedRoles[args[1]](ctx, args[2], func() { fmt.Fprintln(out, askReady) })
	}
	return false, nil
}

// startSelf runs this program with arguments that play knows, until stop.
func startSelf(ctx context.Context, args ...string) (in io.WriteCloser, out io.Reader, stop func() error, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, nil, err
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, nil, err
	}
	return in, out, func() error { return errors.Join(in.Close(), cmd.Wait()) }, nil
}
