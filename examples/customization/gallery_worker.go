package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cloisterdev/cloister/sandbox"
)

// roleCaptive is a worker in the hands of whoever wrote the source that it
// parses. Only the gallery starts it, in the same sandbox as any worker.
func roleCaptive([]string) error {
	sandbox.WorkerMain(map[string]sandbox.Handler{
		"read": func(_ context.Context, _ []byte, files []*os.File) ([]byte, error) {
			b := make([]byte, 64)
			n, err := files[0].Read(b)
			return b[:n], err
		},
		"open":   escape(func() error { _, err := os.ReadFile("/etc/passwd"); return err }),
		"create": escape(func() error { return os.WriteFile("/tmp/cloister-escaped", nil, 0o600) }),
		"socket": escape(func() error { _, err := net.Dial("tcp", "127.0.0.1:80"); return err }),
		"fork": escape(func() error {
			_, err := os.StartProcess("/proc/self/exe", []string{"x"}, &os.ProcAttr{Files: []*os.File{}})
			return err
		}),
		"exec": escape(func() error { return syscall.Exec("/proc/self/exe", []string{"x"}, nil) }),
		"next": escape(nextRequest),
	})
	return nil
}

// escape answers with what the kernel said, and with nothing if it let the
// worker.
func escape(try func() error) sandbox.Handler {
	return func(context.Context, []byte, []*os.File) ([]byte, error) {
		if err := try(); err != nil {
			return []byte(err.Error()), nil
		}
		return nil, nil
	}
}

var errNoMore = errors.New("end of file: no second request")

// nextRequest reads the socket on which the first request came.
func nextRequest() error {
	n, err := syscall.Read(3, make([]byte, 64))
	if err == nil && n == 0 {
		return errNoMore
	}
	return err
}

// workers are attacks by source code that has taken over the worker that
// parses it.
func (g *gallery) workers() ([]attack, func(), error) {
	if g.tier == "process" {
		g.p.say("(no attacks by workers: --min-tier process gives them no sandbox)")
		return nil, func() {}, nil
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	pool, err := sandbox.NewPool(sandbox.Config{MinTier: sandbox.TierConfined, Command: []string{exe, "_captive"}, Deadline: 10 * time.Second})
	if err != nil {
		return nil, nil, err
	}
	job := func(ctx context.Context, kind string, files ...*os.File) (sandbox.Result, error) {
		return pool.Run(ctx, sandbox.Job{Kind: kind, Files: files})
	}
	// The same worker does what it may: it reads the file that it was handed.
	control := func(ctx context.Context) error {
		f, err := os.Open(os.Args[0])
		if err != nil {
			f, err = os.Open(exe)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := job(ctx, "read", f)
		if err == nil && len(r.Reply) == 0 {
			err = errors.New("the worker read nothing")
		}
		return err
	}
	attempt := func(id, title, kind, want string) attack {
		return attack{id, title, "sandbox", func(ctx context.Context) (outcome, error) {
			r, err := job(ctx, kind)
			if err != nil {
				return outcome{}, err
			}
			saw := string(bytes.TrimSpace(r.Reply))
			return outcome{strings.Contains(saw, want), fmt.Sprintf("%s worker: %s", r.Attestation.Tier, saw)}, nil
		}, control}
	}
	const no = "operation not permitted"
	return []attack{
		attempt("worker-second-request", "a used worker asks for a second request", "next", errNoMore.Error()),
		attempt("worker-opens", "a worker opens a file", "open", no),
		attempt("worker-creates", "a worker creates a file", "create", no),
		attempt("worker-connects", "a worker opens a socket", "socket", no),
		attempt("worker-forks", "a worker starts a process", "fork", no),
		attempt("worker-executes", "a worker becomes another program", "exec", no),
	}, func() { _ = pool.Close() }, nil
}
