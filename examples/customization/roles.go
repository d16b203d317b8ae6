package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/cloud"
	"github.com/cloisterdev/cloister/examples/customization/internal/front"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/sandbox"
	"github.com/cloisterdev/cloister/workflow"
)

// until returns a context that ends with SIGTERM or with the supervisor.
func until() (context.Context, context.CancelFunc) {
	gone := stack.Lifeline()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		<-gone
		cancel()
	}()
	return ctx, func() { cancel(); stop() }
}

// roleOptions are what the supervisor tells every process of the stack.
type roleOptions struct {
	data, s3, minTier, profiles, profileKeys string
	workloads                                workloads
	origin                                   string
	privateIssuers                           bool
}

func roleFlags(args []string) (o roleOptions, err error) {
	fs := flag.NewFlagSet("role", flag.ContinueOnError)
	fs.StringVar(&o.data, "data", "", "")
	fs.StringVar(&o.s3, "s3", "", "")
	fs.StringVar(&o.minTier, "min-tier", "", "")
	fs.StringVar(&o.profiles, "profiles", "", "")
	fs.StringVar(&o.profileKeys, "profile-keys", "", "")
	fs.Var(&o.workloads, "workload", "")
	fs.StringVar(&o.origin, "origin", "", "")
	fs.BoolVar(&o.privateIssuers, "private-issuers", false, "")
	return o, fs.Parse(args)
}

// roleFirewall is the identity firewall's process. The supervisor hands it
// connections over the one that it was born with; it listens only where other
// programs were named that may call it.
func roleFirewall(args []string) error {
	o, err := roleFlags(args)
	if err != nil {
		return err
	}
	data := o.data
	ctx, stop := until()
	defer stop()
	born, err := stack.UnixConn(0)
	if err != nil {
		return err
	}
	log, err := audit.Open(auditDir(data), nil)
	if err != nil {
		return err
	}
	defer log.Close()
	wall, done, err := openFirewall(o, log)
	if err != nil {
		return err
	}
	defer done()
	if err := publishVerifier(data, wall); err != nil {
		return err
	}
	var wg sync.WaitGroup
	if len(o.workloads) > 0 {
		l, err := wall.ListenUnix(firewallSocket(data), o.workloads)
		if err != nil {
			return err
		}
		wg.Go(func() {
			if err := l.Serve(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "the firewall's socket is closed:", err)
			}
		})
	}
	go func() {
		_ = stack.Connections(born, func(c *net.UnixConn) {
			wg.Go(func() {
				if err := wall.Serve(ctx, c); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "connection ended:", err)
				}
			})
		})
	}()
	wg.Go(func() { changeKeys(ctx, data, wall) })
	<-ctx.Done()
	wg.Wait()
	return nil
}

// changeKeys gives sessions new keys every day, over restarts too.
func changeKeys(ctx context.Context, data string, wall *firewalld.Server) {
	const life, retry = 24 * time.Hour, 5 * time.Second
	for {
		wait := time.Until(wall.SessionKeysSince().Add(life))
		var err error
		if wait <= 0 {
			// The lead is for a customer cloud that looks every ten seconds, and
			// for one or two of these retries.
			if err = wall.RotateSessionKeys(ctx, time.Minute); err == nil {
				wait = life
			}
		}
		if err = errors.Join(err, publishVerifier(data, wall)); err != nil {
			fmt.Fprintln(os.Stderr, "the keys of sessions are not changed, or not known:", err)
			wait = retry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// roleCloud is the customer cloud's process.
func roleCloud(args []string) error {
	o, err := roleFlags(args)
	if err != nil {
		return err
	}
	data := o.data
	ctx, stop := until()
	defer stop()
	l, err := stack.Listener(0)
	if err != nil {
		return err
	}
	verifier, err := readVerifier(ctx, data)
	if err != nil {
		return err
	}
	log, err := audit.Open(cloudAuditDir(data), nil)
	if err != nil {
		return err
	}
	defer log.Close()
	srv, err := cloud.Open(cloudDir(data), verifier, log)
	if err != nil {
		return err
	}
	defer srv.Close()
	return serveHTTP(ctx, l, srv)
}

// journalOptions tunes the front end's journal; crash tests set it.
var journalOptions = func(data string) *workflow.Options { return nil }

// roleFront is the front end and control plane.
func roleFront(args []string) error {
	o, err := roleFlags(args)
	if err != nil {
		return err
	}
	data, s3, minTier := o.data, o.s3, o.minTier
	ctx, stop := until()
	defer stop()
	conn, err := stack.UnixConn(0)
	if err != nil {
		return err
	}
	l, err := stack.Listener(1)
	if err != nil {
		return err
	}
	gate, err := fas.Dial(conn)
	if err != nil {
		return err
	}
	defer gate.Close()
	tier, err := parseTier(minTier)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := front.New(ctx, front.Config{
		Dir: filepath.Join(data, "front"), Gate: gate, CloudAddr: s3, MinTier: tier,
		Worker: []string{exe, "_worker"}, Slot: []string{"/proc/self/exe", "_slot"}, Log: os.Stderr, Journal: journalOptions(data),
	})
	if err != nil {
		return err
	}
	defer f.Close()
	return serveHTTP(ctx, l, f)
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		c, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		done <- srv.Shutdown(c)
	}()
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return <-done
}

// roleWorker is a single-use worker: fetch, index or evaluate.
func roleWorker([]string) error {
	handler := func(h sandbox.Handler) sandbox.Handler {
		return func(ctx context.Context, req []byte, files []*os.File) ([]byte, error) {
			ctx = work.WithProgress(ctx, func(b []byte) { _ = sandbox.Progress(ctx, b) })
			out, err := h(ctx, req, files)
			if err != nil {
				return nil, sandbox.Fail(work.Code(err), err)
			}
			return out, nil
		}
	}
	sandbox.WorkerMain(map[string]sandbox.Handler{
		"fetch": handler(work.Fetch), "index": handler(work.Index), "evaluate": handler(work.Evaluate),
	})
	return nil
}

// roleSlot is an engine slot, which puts on the tier that it is told.
func roleSlot(args []string) error {
	if len(args) != 1 {
		return errors.New("a slot needs its tier")
	}
	tier, err := parseTier(args[0])
	if err != nil {
		return err
	}
	return gpuinfer.ServeSlot(context.Background(), os.NewFile(3, "pool"), work.Engine{}, gpuinfer.SlotOptions{
		Confine: func() error {
			if tier == sandbox.TierProcess {
				return nil // whoever started the service accepted that
			}
			return sandbox.Confine(sandbox.Profile{Tier: tier})
		},
	})
}

// openFirewall opens the firewall's state with the operations of the table, and
// with the profiles of the three teams where there are some.
func openFirewall(o roleOptions, rec audit.Recorder) (wall *firewalld.Server, done func(), err error) {
	root, err := ownRootKey(o.data)
	if err != nil {
		return nil, nil, err
	}
	var none *front.Front
	opts := &firewalld.Options{Operations: api.Firewalled(none.Table())}
	if opts.Verifiers, err = verifiers(o, root); err != nil {
		return nil, nil, err
	}
	closeStore := func() {}
	if o.profiles != "" {
		store, err := firewalld.OpenProfiles(firewallDir(o.data), root, o.profiles, o.profileKeys, rec)
		if err != nil {
			return nil, nil, err
		}
		opts.Profiles, closeStore = store, func() { _ = store.Close() }
	}
	if wall, err = firewalld.Open(firewallDir(o.data), root, rec, opts); err != nil {
		closeStore()
		return nil, nil, err
	}
	return wall, func() { _ = wall.Close(); closeStore() }, nil
}
