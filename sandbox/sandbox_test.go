//go:build linux

package sandbox

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "sandbox-worker":
			WorkerMain(testHandlers)
		case "sandbox-confine":
			os.Exit(confineChild(os.Args[2]))
		case "sandbox-kernel":
			os.Exit(kernelChild(os.Args[2]))
		case "containment-outer":
			os.Exit(containmentOuter())
		case "containment-inner":
			os.Exit(containmentInner())
		case "sandbox-orphan":
			orphanParent()
		}
	}
	os.Exit(m.Run())
}

var workerCommand = []string{"worker", "sandbox-worker"}

var testHandlers = map[string]Handler{
	"echo": func(_ context.Context, req []byte, _ []*os.File) ([]byte, error) { return req, nil },
	"fail": func(context.Context, []byte, []*os.File) ([]byte, error) {
		return []byte("leak"), Fail("no-luck", errors.New("tenant said: \x1b[31m"))
	},
	"panic": func(context.Context, []byte, []*os.File) ([]byte, error) { panic("boom") },
	"hang":  func(context.Context, []byte, []*os.File) ([]byte, error) { select {} },
	"progress": func(ctx context.Context, _ []byte, _ []*os.File) ([]byte, error) {
		for i := range 3 {
			if err := Progress(ctx, []byte{byte('a' + i)}); err != nil {
				return nil, err
			}
		}
		return nil, Progress(ctx, make([]byte, maxProgress+1))
	},
	"file": func(_ context.Context, _ []byte, files []*os.File) ([]byte, error) {
		if err := files[0].Truncate(0); err != nil {
			return nil, err
		}
		if _, err := files[0].WriteAt([]byte("written"), 0); err != nil {
			return nil, err
		}
		if _, err := files[0].Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		if err := files[0].Sync(); err != nil {
			return nil, err
		}
		if _, err := files[0].Stat(); err != nil {
			return nil, err
		}
		return io.ReadAll(files[0])
	},
	"http":   httpHandler,
	"load":   loadHandler,
	"again":  againHandler,
	"attack": attackHandler,
	"forge": func(context.Context, []byte, []*os.File) ([]byte, error) {
		d, _ := json.Marshal(done{Handled: 1, MAC: make([]byte, 32)})
		_ = sendFrame(frame(frameDone, d))
		os.Exit(0)
		return nil, nil
	},
	"junk": func(context.Context, []byte, []*os.File) ([]byte, error) {
		_ = sendFrame([]byte("?junk"))
		select {}
	},
	"linger": func(context.Context, []byte, []*os.File) ([]byte, error) {
		return nil, nil
	},
	"flood": func(context.Context, []byte, []*os.File) ([]byte, error) {
		b := frame(frameData, make([]byte, frameSize))
		for sendFrame(b) == nil {
		}
		return nil, nil
	},
}

// httpHandler makes a request over a TCP connection it was handed.
func httpHandler(ctx context.Context, _ []byte, files []*os.File) ([]byte, error) {
	c, err := net.FileConn(files[0])
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetNoDelay(true); err != nil {
		return nil, err
	}
	cl := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil },
	}}
	var out []byte
	for range 2 { // keep-alive: the same connection
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://bucket.invalid/x", strings.NewReader(strings.Repeat("x", 100_000)))
		if err != nil {
			return nil, err
		}
		r, err := cl.Do(req)
		if err != nil {
			return nil, err
		}
		out, err = io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// loadHandler makes the runtime work: goroutines, collections, compression.
func loadHandler(context.Context, []byte, []*os.File) ([]byte, error) {
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			var keep [][]byte
			for i := range 200 {
				keep = append(keep, make([]byte, 64<<10))
				if i%50 == 0 {
					clear(keep)
					keep = keep[:0]
					runtime.GC()
					time.Sleep(time.Millisecond)
				}
			}
			e, err := zstd.NewWriter(nil)
			if err != nil {
				errs <- err
				return
			}
			d, err := zstd.NewReader(nil)
			if err != nil {
				errs <- err
				return
			}
			back, err := d.DecodeAll(e.EncodeAll(bytes.Repeat([]byte("abc"), 100_000), nil), nil)
			if err != nil || sha256.Sum256(back) != sha256.Sum256(bytes.Repeat([]byte("abc"), 100_000)) {
				errs <- errors.New("zstd")
			}
			fw, _ := flate.NewWriter(io.Discard, 6)
			_, _ = fw.Write(back)
			runtime.LockOSThread() // a new thread is made for the others
			time.Sleep(time.Millisecond)
		})
	}
	wg.Wait()
	close(errs)
	return []byte("done"), <-errs
}

// againHandler tries to get a second request.
func againHandler(context.Context, []byte, []*os.File) ([]byte, error) {
	n, _, _, _, err := unix.Recvmsg(controlFD, make([]byte, 10), nil, 0)
	return fmt.Appendf(nil, "%d %v", n, err), nil
}

func tiers(t *testing.T, f func(t *testing.T, tier Tier)) {
	for _, tier := range []Tier{TierProcess, TierConfined, TierNamespaced} {
		t.Run(tier.String(), func(t *testing.T) {
			needTier(t, tier)
			f(t, tier)
		})
	}
}

func newPool(t *testing.T, tier Tier) *Pool {
	t.Helper()
	p, err := NewPool(Config{MinTier: tier, Tier: tier, Command: workerCommand, Deadline: 20 * time.Second, Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestConfigRefusals(t *testing.T) {
	good := Config{MinTier: TierProcess, Command: workerCommand, Deadline: time.Second}
	for name, change := range map[string]func(*Config){
		"no tier":            func(c *Config) { c.MinTier = 0 },
		"unknown tier":       func(c *Config) { c.MinTier = 9 },
		"exact below":        func(c *Config) { c.MinTier, c.Tier = TierConfined, TierProcess },
		"exact unknown":      func(c *Config) { c.Tier = 9 },
		"no command":         func(c *Config) { c.Command = nil },
		"no deadline":        func(c *Config) { c.Deadline = 0 },
		"endless":            func(c *Config) { c.Deadline = 25 * time.Hour },
		"negative size":      func(c *Config) { c.Size = -1 },
		"huge size":          func(c *Config) { c.Size = 257 },
		"negative message":   func(c *Config) { c.MaxMessage = -1 },
		"negative running":   func(c *Config) { c.MaxRunning = -1 },
		"negative file size": func(c *Config) { c.MaxFileSize = -1 },
	} {
		c := good
		change(&c)
		if p, err := NewPool(c); !errors.Is(err, ErrConfig) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := good
	c.Command = []string{"worker", "-test.run=^$"}
	if _, err := NewPool(c); !errors.Is(err, ErrTier) {
		t.Errorf("a command that is no worker: %v", err)
	}
	if b, err := Probe(); b != 0 || !errors.Is(err, ErrTier) {
		t.Errorf("probe without command: %v %v", b, err)
	}
}

func TestJobRefusals(t *testing.T) {
	p, err := NewPool(Config{MinTier: TierProcess, Tier: TierProcess, Command: workerCommand, Deadline: time.Minute, MaxMessage: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	closed, _ := os.Open(os.DevNull)
	closed.Close()
	for name, j := range map[string]Job{
		"no kind":       {},
		"bad kind":      {Kind: "A b"},
		"large":         {Kind: "echo", Request: make([]byte, 11)},
		"nil file":      {Kind: "echo", Files: []*os.File{nil}},
		"closed file":   {Kind: "echo", Files: []*os.File{closed}},
		"many files":    {Kind: "echo", Files: make([]*os.File, maxFiles+1)},
		"long deadline": {Kind: "echo", Deadline: time.Hour},
		"past deadline": {Kind: "echo", Deadline: -1},
	} {
		if _, err := p.Run(t.Context(), j); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, Job{Kind: "echo"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := p.Run(t.Context(), Job{Kind: "flood"}); !errors.Is(err, ErrProtocol) {
		t.Errorf("flood: %v", err)
	}
	p.Close()
	if _, err := p.Run(t.Context(), Job{Kind: "echo"}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestFailures(t *testing.T) {
	tiers(t, func(t *testing.T, tier Tier) {
		p := newPool(t, tier)
		var je *JobError
		_, err := p.Run(t.Context(), Job{Kind: "fail"})
		if !errors.Is(err, ErrJob) || !errors.As(err, &je) || je.Code != "no-luck" || strings.Contains(err.Error(), "tenant") {
			t.Errorf("fail: %v", err)
		}
		if s := je.Diagnostic.String(); !strings.Contains(s, `\x1b`) {
			t.Errorf("diagnostic: %s", s)
		}
		if _, err := p.Run(t.Context(), Job{Kind: "absent"}); !errors.As(err, &je) || je.Code != "unknown-kind" {
			t.Errorf("absent: %v", err)
		}
		if _, err := p.Run(t.Context(), Job{Kind: "panic"}); !errors.Is(err, ErrCrashed) || errors.Is(err, ErrJob) {
			t.Errorf("panic: %v", err)
		}
		if _, err := p.Run(t.Context(), Job{Kind: "forge"}); !errors.Is(err, ErrAttestation) {
			t.Errorf("forge: %v", err)
		}
		if _, err := p.Run(t.Context(), Job{Kind: "junk"}); !errors.Is(err, ErrProtocol) {
			t.Errorf("junk: %v", err)
		}
		if _, err := p.Run(t.Context(), Job{Kind: "hang", Deadline: 100 * time.Millisecond}); !errors.Is(err, ErrDeadline) {
			t.Errorf("hang: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := p.Run(ctx, Job{Kind: "hang"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancel: %v", err)
		}
	})
}

func TestWork(t *testing.T) {
	tiers(t, func(t *testing.T, tier Tier) {
		p := newPool(t, tier)
		req := bytes.Repeat([]byte("0123456789"), 300_000)
		r, err := p.Run(t.Context(), Job{Kind: "echo", Request: req})
		if err != nil || !bytes.Equal(r.Reply, req) {
			t.Fatalf("echo: %d bytes, %v", len(r.Reply), err)
		}
		a := r.Attestation
		if a.Handled != 1 || a.Tier != tier || a.RequestDigest != sha256.Sum256(req) || a.PID == 0 || a.Ended.Before(a.Started) {
			t.Errorf("attestation %+v", a)
		}
		if tier >= TierConfined && (a.Observed.Seccomp != 2 || !a.Observed.NoNewPrivs || a.Observed.CapEff != 0) {
			t.Errorf("observed %+v", a.Observed)
		}
		if tier == TierNamespaced && len(a.Observed.OwnNamespaces) != 6 {
			t.Errorf("observed %+v", a.Observed)
		}
		r2, err := p.Run(t.Context(), Job{Kind: "echo"})
		if err != nil || r2.Attestation.PID == a.PID {
			t.Errorf("a worker served twice: %v", err)
		}
		if r, err = p.Run(t.Context(), Job{Kind: "load"}); err != nil || string(r.Reply) != "done" {
			t.Errorf("load: %v", diag(err))
		}
		if r, err = p.Run(t.Context(), Job{Kind: "again"}); err != nil || string(r.Reply) != "0 <nil>" {
			t.Errorf("again: %q %v", r.Reply, diag(err))
		}
		var got []byte
		_, err = p.Run(t.Context(), Job{Kind: "progress", OnProgress: func(b []byte) { got = append(got, b...) }})
		if !errors.Is(err, ErrJob) || string(got) != "abc" {
			t.Errorf("progress: %q %v", got, err)
		}
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if r, err = p.Run(t.Context(), Job{Kind: "file", Files: []*os.File{f}}); err != nil || string(r.Reply) != "written" {
			t.Errorf("file: %q %v", r.Reply, diag(err))
		}
	})
}

func diag(err error) error {
	var je *JobError
	if errors.As(err, &je) {
		return fmt.Errorf("%w: %s", err, je.Diagnostic)
	}
	return err
}

func TestHTTPOverPassedSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})}
	go s.Serve(l)
	defer s.Close()
	tiers(t, func(t *testing.T, tier Tier) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		f, err := c.(*net.TCPConn).File()
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := newPool(t, tier).Run(t.Context(), Job{Kind: "http", Files: []*os.File{f}})
		if err != nil || string(r.Reply) != "100000" {
			t.Errorf("%q %v", r.Reply, diag(err))
		}
	})
}

func TestSecondRequest(t *testing.T) {
	c := Config{MinTier: TierProcess, Command: workerCommand, Deadline: time.Minute}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	w, err := spawn(&c, TierProcess)
	if err != nil {
		t.Fatal(err)
	}
	defer w.kill()
	// A parent that forgets to shut its side: the worker's own is shut.
	h, _ := json.Marshal(header{Kind: "hang", Key: make([]byte, 32)})
	if _, err := w.conn.Write(frame(frameHeader, h)); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(5 * time.Second)
	// A kernel that takes them blocks when it has taken enough.
	if err := w.conn.SetWriteDeadline(end); err != nil {
		t.Fatal(err)
	}
	for ; ; time.Sleep(time.Millisecond) {
		_, err := w.conn.Write(frame(frameHeader, h))
		if errors.Is(err, unix.EPIPE) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the kernel still takes requests: %v", err)
		}
	}
	w.used = true
	if _, err := w.run(t.Context(), Job{Kind: "echo"}, 10); !errors.Is(err, ErrUsed) {
		t.Errorf("used: %v", err)
	}
}

func TestObservationCheck(t *testing.T) {
	good := Observation{Seccomp: 2, NoNewPrivs: true, OwnNamespaces: namespaces}
	all := TierNamespaced.layers()
	if err := good.check(all); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Observation){
		"no filter":  func(o *Observation) { o.Seccomp = 0 },
		"strict":     func(o *Observation) { o.Seccomp = 1 },
		"privileges": func(o *Observation) { o.NoNewPrivs = false },
		"capability": func(o *Observation) { o.CapEff = 1 << 21 },
		"namespace":  func(o *Observation) { o.OwnNamespaces = namespaces[1:] },
	} {
		o := good
		change(&o)
		if err := o.check(all); !errors.Is(err, ErrAttestation) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A worker that applied less than it was told to is found out.
	c := Config{MinTier: TierProcess, Command: workerCommand, Deadline: time.Minute, layers: layerSeccomp}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	w, err := spawn(&c, TierConfined)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.seen.check(confinedLayers | layerNamespaces); !errors.Is(err, ErrAttestation) {
		t.Errorf("less than the tier: %v", err)
	}
	w.kill()
}

func TestInheritedFilesAreClosed(t *testing.T) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	c := Config{MinTier: TierProcess, Command: workerCommand, Deadline: time.Minute}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	w, err := spawn(&c, TierProcess)
	if err != nil {
		t.Fatal(err)
	}
	defer w.kill()
	d, err := os.ReadDir("/proc/" + strconv.Itoa(w.process.Pid) + "/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, e := range d {
		if l, _ := os.Readlink("/proc/" + strconv.Itoa(w.process.Pid) + "/fd/" + e.Name()); l == "/dev/null" && e.Name() != "0" {
			t.Errorf("descriptor %s leaked", e.Name())
		}
	}
}

func TestOrphanDies(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{"x", "sandbox-orphan"}, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{nil, w, os.Stderr}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		t.Fatal(err)
	}
	_ = p.Kill()
	_, _ = p.Wait()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil || strings.Contains(string(b), "State:\tZ") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the worker outlived its parent")
		}
	}
}

// orphanParent starts a busy worker, tells its process ID and waits to be killed.
func orphanParent() {
	c := Config{MinTier: TierProcess, Command: workerCommand, Deadline: time.Minute}
	if c.check() != nil {
		os.Exit(1)
	}
	w, err := spawn(&c, TierProcess)
	if err != nil {
		os.Exit(1)
	}
	go w.run(context.Background(), Job{Kind: "hang", Deadline: time.Minute}, 10)
	time.Sleep(50 * time.Millisecond)
	fmt.Println(w.process.Pid)
	select {}
}

func FuzzParse(f *testing.F) {
	h, _ := json.Marshal(header{Kind: "a", Key: make([]byte, 32)})
	d, _ := json.Marshal(done{Handled: 1, MAC: make([]byte, 32)})
	f.Add(h)
	f.Add(d)
	f.Add([]byte("Seccomp:\t2\nNoNewPrivs:\t1\nCapEff:\t0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHeader(b, 100); err == nil && (h.Size > 100 || h.Size < 0 || !validCode(h.Kind)) {
			t.Error("header out of limits")
		}
		if d, err := parseDone(b); err == nil && len(d.MAC) != 32 {
			t.Error("end without MAC")
		}
		if o, err := parseStatus(string(b)); err != nil && (o.Seccomp != 0 || o.NoNewPrivs) {
			t.Error("value beside error")
		}
	})
}
