package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval/embedded"
	"github.com/cloisterdev/cloister/sandbox"
	"github.com/cloisterdev/cloister/tenant"
	"github.com/cloisterdev/cloister/workflow"
)

func action(name string) authz.Action { return authz.Action(name) }

// Config is what a front end needs. All but Log and Journal is required.
type Config struct {
	// Dir holds the journal, sealed staging and sealed collections.
	Dir string
	// Gate is the connection to the identity firewall.
	Gate *fas.Client
	// CloudAddr is where customers' buckets answer.
	CloudAddr string
	// MinTier is the weakest sandbox that ingestion accepts.
	MinTier sandbox.Tier
	// Worker and Slot are the command lines of the two kinds of children. The
	// name of the tier that it must put on is added to a slot's.
	Worker, Slot []string
	// Log gets one line an operation: name, request ID, status, time.
	Log io.Writer
	// Journal tunes the journal; nil means the default.
	Journal *workflow.Options
}

// Front is the front end and control plane. It is an [http.Handler], safe for
// concurrent use.
type Front struct {
	cfg         Config
	gate        *fas.Client
	table       *api.Table
	collections *embedded.Store
	journal     *workflow.Journal
	workers     *sandbox.Pool
	slots       *gpuinfer.Pool
	progress    *progress

	mu       sync.Mutex
	evidence map[string]signed // by run; memory only, gone after the fetch step
}

// signed is what a fetch worker needs to act for the customer. It is never
// journaled: after a crash before the fetch step, the customer must sign again.
type signed struct {
	evidence []byte
	request  tenant.RequestID
	src      source
}

// New opens the journal, resumes what a crash interrupted, and starts the warm
// pools.
func New(ctx context.Context, c Config) (*Front, error) {
	if c.Dir == "" || c.Gate == nil || c.CloudAddr == "" || len(c.Worker) == 0 || len(c.Slot) == 0 {
		return nil, errors.New("front: directory, gate, cloud address and commands are required")
	}
	f := &Front{cfg: c, gate: c.Gate, evidence: map[string]signed{}, progress: newProgress()}
	if err := os.MkdirAll(f.stagingDir(), 0o700); err != nil {
		return nil, err
	}
	var err error
	if f.collections, err = embedded.NewStore(filepath.Join(c.Dir, "collections")); err != nil {
		return nil, err
	}
	if f.workers, err = sandbox.NewPool(sandbox.Config{MinTier: c.MinTier, Command: c.Worker, Size: 2, MaxRunning: 2, Deadline: workDeadline, MemoryLimit: 4 << 30}); err != nil {
		return nil, err
	}
	if f.slots, err = f.newSlots(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if f.table, err = api.NewTable(f.gate, f.gate, f.Table(), f.logLine); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.openJournal(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Front) stagingDir() string { return filepath.Join(f.cfg.Dir, "staging") }

// Close stops the pools and the journal.
func (f *Front) Close() error {
	var errs []error
	if f.journal != nil {
		errs = append(errs, f.journal.Close())
	}
	if f.slots != nil {
		errs = append(errs, f.slots.Close())
	}
	if f.workers != nil {
		errs = append(errs, f.workers.Close())
	}
	return errors.Join(errs...)
}

// ServeHTTP answers the API, GET /healthz and GET /openapi.json.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/healthz" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "ok", "sandbox": f.workers.Tier().String()})
	case r.URL.Path == "/openapi.json" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.OpenAPI(f.table.Operations()))
	default:
		f.table.ServeHTTP(w, r)
	}
}

func (f *Front) logLine(op string, req tenant.RequestID, status string, d time.Duration) {
	if f.cfg.Log == nil || status == "ok" && op == "GetCustomization" {
		return
	}
	if op == "" {
		op = "-"
	}
	fmt.Fprintf(f.cfg.Log, "%s %s %s %.1fms\n", op, req, status, float64(d.Microseconds())/1000)
}
