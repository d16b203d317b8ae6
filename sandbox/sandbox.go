package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// Errors of this package. All are compared with [errors.Is].
var (
	// ErrTier reports that the wanted tier cannot be applied in full on this
	// machine. There is never a silent downgrade.
	ErrTier = errors.New("sandbox: tier cannot be applied")
	// ErrConfig reports a [Config] or [Job] that breaks a documented limit.
	ErrConfig = errors.New("sandbox: bad configuration")
	// ErrAttestation reports that what the parent observed of a worker, or what
	// the worker claimed, is not what the tier promises. The reply is dropped.
	ErrAttestation = errors.New("sandbox: attestation does not match")
	// ErrUsed reports a second request to a worker that had its one.
	ErrUsed = errors.New("sandbox: worker already used")
	// ErrDeadline reports a worker that was killed because its time was up.
	ErrDeadline = errors.New("sandbox: deadline passed, worker killed")
	// ErrCrashed reports a worker that ended without an answer.
	ErrCrashed = errors.New("sandbox: worker ended without an answer")
	// ErrProtocol reports a message from the worker that breaks the protocol.
	ErrProtocol = errors.New("sandbox: protocol broken")
	// ErrJob reports that the handler returned an error; see [JobError].
	ErrJob = errors.New("sandbox: job failed")
	// ErrClosed reports a pool used after Close.
	ErrClosed = errors.New("sandbox: pool closed")
)

// Tier is how strongly a worker is confined. A greater value is stronger; the
// zero value is invalid.
type Tier int

const (
	// TierProcess is a separate process and nothing more: development only.
	TierProcess Tier = iota + 1
	// TierConfined adds Landlock, a seccomp allow-list, resource limits, no
	// capabilities, no_new_privs and a non-dumpable process.
	TierConfined
	// TierNamespaced adds user, pid, net, mount, ipc and uts namespaces and a
	// root directory that is an empty, read-only tmpfs.
	TierNamespaced
)

// String returns "process", "confined", "namespaced", or "invalid".
func (t Tier) String() string {
	switch t {
	case TierProcess:
		return "process"
	case TierConfined:
		return "confined"
	case TierNamespaced:
		return "namespaced"
	}
	return "invalid"
}

// Handler does one job inside a worker. It owns files. An error made by [Fail]
// carries its code to the parent.
type Handler func(ctx context.Context, req []byte, files []*os.File) ([]byte, error)

// Job is one request for one worker.
type Job struct {
	// Kind selects the handler: [a-z0-9.-]{1,64}.
	Kind string
	// Request is handed to the handler, at most Config.MaxMessage bytes.
	Request []byte
	// Files are duplicated into the worker, at most 32: regular files and
	// connected stream sockets. The caller keeps and closes its own.
	Files []*os.File
	// Deadline shortens Config.Deadline. Zero means Config.Deadline.
	Deadline time.Duration
	// OnProgress gets what the handler reports with [Progress], in order, on
	// the goroutine of Run. It is untrusted input, at most 32 KiB each.
	OnProgress func([]byte)
}

// Result is what a worker answered, and the evidence about the worker.
type Result struct {
	Reply       []byte
	Attestation Attestation
}

// Attestation is the evidence about one worker from two witnesses: what the
// parent read about the process before it sent the request, and what the
// worker claimed under a one-shot key, compared with what was sent and received.
type Attestation struct {
	Tier    Tier
	PID     int
	Handled int // requests handled; always 1
	// RequestDigest and ReplyDigest are SHA-256.
	RequestDigest, ReplyDigest [32]byte
	Observed                   Observation
	Started, Ended             time.Time
	// ExitCode of the worker; always 0 in a Result.
	ExitCode int
}

// Observation is what the parent read from the kernel about a worker that was
// ready and had no request yet.
type Observation struct {
	Seccomp       int    // 2 is "filter"
	NoNewPrivs    bool   //
	CapEff        uint64 // effective capabilities
	OwnNamespaces []string
}

// JobError is a failure inside the worker. It wraps [ErrJob] when the handler
// returned an error, and [ErrCrashed] when the worker ended without an answer.
// Its text holds the code only; what the handler or stderr said is untrusted.
type JobError struct {
	Code       string      // [a-z0-9.-]{1,64}; "failed" when the handler gave none
	Diagnostic tenant.Text // at most 1024 runes, never to be trusted

	crashed bool
}

// Error returns the code.
func (e *JobError) Error() string { return fmt.Sprintf("%v: %s", e.Unwrap(), e.Code) }

// Unwrap returns [ErrJob] or [ErrCrashed].
func (e *JobError) Unwrap() error {
	if e.crashed {
		return ErrCrashed
	}
	return ErrJob
}

type codedError struct {
	code string
	err  error
}

func (e *codedError) Error() string { return e.code + ": " + e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// Fail gives err a code, [a-z0-9.-]{1,64}, that reaches the parent in
// [JobError.Code]. A code that is not of that form becomes "failed".
func Fail(code string, err error) error {
	if err == nil {
		return nil
	}
	if !validCode(code) {
		code = "failed"
	}
	return &codedError{code, err}
}

func validCode(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// Config describes a pool of workers.
type Config struct {
	// MinTier is required. The pool uses the strongest tier that a worker
	// really built shows to work, and refuses anything below MinTier.
	MinTier Tier
	// Tier, when set, is used exactly; it must not be below MinTier.
	Tier Tier
	// Command is the argument vector of the worker, which is the running
	// binary executed again: its main must call [WorkerMain] when it sees these
	// arguments, before it starts anything else. Required.
	Command []string
	// Env is the worker's whole environment besides what this package sets.
	// Nothing is inherited.
	Env []string
	// Size is the number of confined, unused workers kept ready; zero means 1,
	// and at most 256.
	Size int
	// MaxRunning bounds the jobs that run at once; zero means 16.
	MaxRunning int
	// Deadline is when a busy worker is killed. Required, at most 24 hours.
	Deadline time.Duration
	// MaxMessage bounds a request and a reply, in bytes; zero means 64 MiB.
	MaxMessage int
	// MaxFileSize bounds every file a worker writes, in bytes; zero means 16 GiB.
	MaxFileSize int64
	// MemoryLimit is the soft limit of the worker's Go heap in bytes; zero
	// means 1 GiB. A hard limit is the matter of a control group.
	MemoryLimit int64

	// layers, when not zero, replaces the layers of the tier in the ablation test.
	layers layer
	// skipObserve lets the ablation test build workers that must not attest.
	skipObserve bool
}

const (
	maxFiles    = 32
	maxProgress = 32 << 10
)

func (c *Config) check() error {
	switch {
	case c.MinTier < TierProcess || c.MinTier > TierNamespaced:
		return fmt.Errorf("%w: MinTier is required", ErrConfig)
	case c.Tier != 0 && (c.Tier < c.MinTier || c.Tier > TierNamespaced):
		return fmt.Errorf("%w: Tier below MinTier or unknown", ErrConfig)
	case len(c.Command) == 0:
		return fmt.Errorf("%w: Command is required", ErrConfig)
	case c.Deadline <= 0 || c.Deadline > 24*time.Hour:
		return fmt.Errorf("%w: Deadline must be above 0 and at most 24h", ErrConfig)
	case c.Size < 0 || c.Size > 256 || c.MaxRunning < 0 || c.MaxMessage < 0 || c.MaxFileSize < 0 || c.MemoryLimit < 0:
		return fmt.Errorf("%w: a limit is out of range", ErrConfig)
	}
	if c.Size == 0 {
		c.Size = 1
	}
	if c.MaxRunning == 0 {
		c.MaxRunning = 16
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = 64 << 20
	}
	if c.MaxFileSize == 0 {
		c.MaxFileSize = 16 << 30
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = 1 << 30
	}
	return nil
}

func (c *Config) checkJob(j Job) error {
	switch {
	case !validCode(j.Kind):
		return fmt.Errorf("%w: Kind", ErrConfig)
	case len(j.Request) > c.MaxMessage:
		return fmt.Errorf("%w: request of %d bytes, the limit is %d", ErrConfig, len(j.Request), c.MaxMessage)
	case len(j.Files) > maxFiles:
		return fmt.Errorf("%w: %d files, the limit is %d", ErrConfig, len(j.Files), maxFiles)
	case j.Deadline < 0 || j.Deadline > c.Deadline:
		return fmt.Errorf("%w: job deadline above the pool's", ErrConfig)
	}
	for _, f := range j.Files {
		if f == nil {
			return fmt.Errorf("%w: nil file", ErrConfig)
		}
	}
	return nil
}

// Profile adjusts [Confine]. The zero value is the strictest.
type Profile struct {
	// Tier is TierConfined, which the zero value means too, or TierNamespaced
	// for a process that was started with [Attr] of that tier.
	Tier Tier
	// OpenFiles bounds the descriptors; zero means 256.
	OpenFiles uint64
	// FileSize bounds every file written, in bytes; zero means no file can grow.
	FileSize uint64
}

// layer is one mechanism; the ablation test switches them one by one.
type layer uint32

const (
	layerNamespaces layer = 1 << iota
	layerPivot
	layerLandlock
	layerSeccomp
	layerLimits
	layerCaps
	layerDumpable
	layerNone // makes "no layer at all" different from "not set"
)

const confinedLayers = layerLandlock | layerSeccomp | layerLimits | layerCaps | layerDumpable

func (t Tier) layers() layer {
	switch t {
	case TierConfined:
		return confinedLayers
	case TierNamespaced:
		return confinedLayers | layerNamespaces | layerPivot
	}
	return layerNone
}
