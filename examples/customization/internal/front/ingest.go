package front

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/sandbox"
	"github.com/cloisterdev/cloister/tenant"
)

// state is what the journal keeps of an ingestion or a deletion: handles,
// counts, digests and the ticket. No credential of the customer, no source.
type state struct {
	Customization tenant.CustomizationID `json:"customization"`
	Version       int                    `json:"version"`
	Binding       retrieval.Binding      `json:"binding,omitzero"`
	Ticket        fas.Ticket             `json:"ticket"`
	Copied        work.Copied            `json:"copied"`
	Indexed       work.Indexed           `json:"indexed"`
	Score         float64                `json:"score"`
	Failure       string                 `json:"failure,omitempty"`
}

// profileID names the profile under which customers' buckets are read.
const profileID = "ingest-source"

// ingest journals an ingestion and starts it. The evidence stays in memory:
// the fetch worker uses it once, and nothing of it survives a crash.
func (f *Front) ingest(ctx context.Context, c *api.Call, id tenant.CustomizationID, version int, t fas.Ticket, src source) error {
	raw, err := c.Evidence.MarshalBinary()
	if err != nil {
		return err
	}
	st := state{Customization: id, Version: version, Ticket: t}
	st.Binding = retrieval.Binding{Tenant: c.Session.Tenant(), Customization: id, Collection: t.Collection, Snapshot: t.Snapshot}
	run := runID(id, version)
	f.mu.Lock()
	f.evidence[run] = signed{raw, c.Request, src}
	f.mu.Unlock()
	f.progress.begin(id)
	return f.startRun(ctx, "ingest", run, st)
}

// remove journals the removal of a deleted customization's files.
func (f *Front) remove(ctx context.Context, id tenant.CustomizationID, t fas.Ticket) error {
	return f.startRun(ctx, "remove", id.String()+".remove", state{Customization: id, Ticket: t})
}

func (f *Front) stagingPath(st state) string {
	return filepath.Join(f.stagingDir(), st.Binding.Snapshot.String())
}

// job runs one single-use worker with a firewall connection of its own.
func (f *Front) job(ctx context.Context, st state, kind string, req any, out any, files ...*os.File) error {
	wall, err := f.gate.Attach(ctx)
	if err != nil {
		return err
	}
	defer wall.Close()
	raw, err := json.Marshal(req)
	if err != nil {
		return err
	}
	res, err := f.workers.Run(ctx, sandbox.Job{Kind: kind, Request: raw, Files: append([]*os.File{wall}, files...),
		OnProgress: func(b []byte) {
			var s work.Step
			if json.Unmarshal(b, &s) == nil {
				f.progress.report(st.Customization, s)
			}
		}})
	if err != nil {
		return err
	}
	return json.Unmarshal(res.Reply, out)
}

// fetch copies the source to sealed staging. It is the only step that uses the
// customer's signed call.
func (f *Front) fetch(ctx context.Context, run string, st *state) error {
	f.mu.Lock()
	ev, ok := f.evidence[run]
	delete(f.evidence, run)
	f.mu.Unlock()
	if !ok {
		return permanent("signed-call-lost")
	}
	scope, err := scopeDown(ev.src)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", f.cfg.CloudAddr)
	if err != nil {
		return err
	}
	defer conn.Close()
	sock, err := conn.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer sock.Close()
	to, err := os.OpenFile(f.stagingPath(*st), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	err = f.job(ctx, *st, "fetch", work.FetchRequest{Evidence: ev.evidence, Request: ev.request, Customization: st.Customization,
		Profile: profileID, Scope: scope, Ticket: st.Ticket, Host: f.cfg.CloudAddr}, &st.Copied, sock, to)
	var je *sandbox.JobError
	if errors.As(err, &je) {
		return permanent(je.Code)
	}
	return err
}

// scopeDown narrows the profile to the one prefix that the customer signed.
func scopeDown(s source) ([]byte, error) {
	return policy.Marshal(policy.Statement{Effect: "Allow", Actions: []string{"s3:GetObject", "s3:ListBucket"},
		Resources: []string{"arn:aws:s3:::" + policy.Literal(s.bucket+"/"+s.prefix) + "*"}})
}

func (f *Front) index(ctx context.Context, st *state) error {
	from, err := os.Open(f.stagingPath(*st))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := f.collections.Create(st.Binding)
	if err != nil {
		return err
	}
	defer to.Close()
	return f.job(ctx, *st, "index", work.IndexRequest{Ticket: st.Ticket, Digest: st.Copied.Digest, Files: st.Copied.Files, Bytes: st.Copied.Bytes}, &st.Indexed, from, to)
}

func (f *Front) register(ctx context.Context, st *state) error {
	m, err := hex.DecodeString(st.Indexed.Manifest)
	if err != nil || len(m) != 32 {
		return permanent("manifest-malformed")
	}
	return f.gate.Register(ctx, st.Ticket, [32]byte(m))
}

func (f *Front) evaluate(ctx context.Context, st *state) error {
	snap, err := os.Open(f.collections.Path(st.Binding))
	if err != nil {
		return err
	}
	defer snap.Close()
	var out work.Evaluated
	if err := f.job(ctx, *st, "evaluate", work.EvaluateRequest{Ticket: st.Ticket, Manifest: st.Indexed.Manifest}, &out, snap); err != nil {
		return err
	}
	st.Score = out.Score
	return nil
}

// clean removes staging and looks whether it is gone.
func (f *Front) clean(st state) error {
	p := f.stagingPath(st)
	if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
		return errors.New("front: staging is still there after its removal")
	}
	return nil
}
