package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"sort"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// Plane separates administration from use.
type Plane string

const (
	// Control is administration.
	Control Plane = "control"
	// Runtime is use by a developer's editor.
	Runtime Plane = "runtime"
)

// Line says what is true of an operation, apart from its types and handler.
type Line struct {
	Name     string
	Plane    Plane
	Action   authz.Action
	OnTarget bool // the body names one customization
	Mutating bool
	MaxBody  int64 // bytes; zero means 64 KiB
	Verbs    []fas.Verb
}

// Call is what a handler gets besides its input.
type Call struct {
	Request  tenant.RequestID
	Session  *fas.Session
	Evidence fas.Evidence
	Target   tenant.CustomizationID
	Trace    *Trace
}

// Operation is a line of the table. Only [Define] makes one.
type Operation struct {
	Line
	in, out reflect.Type
	aimed   bool // the input names a customization
	serve   func(ctx context.Context, c *Call, body []byte) (any, error)
	target  func(body []byte) (tenant.CustomizationID, error)
}

// targeted is implemented by inputs of operations on one customization.
type targeted interface{ customization() string }

// Define makes a line of the table from its facts and its handler.
func Define[In, Out any](l Line, h func(context.Context, *Call, *In) (*Out, error)) Operation {
	if l.MaxBody == 0 {
		l.MaxBody = 64 << 10
	}
	_, aimed := any(new(In)).(targeted)
	return Operation{
		Line: l, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), aimed: aimed,
		serve: func(ctx context.Context, c *Call, body []byte) (any, error) {
			in := new(In)
			if err := decode(body, in); err != nil {
				return nil, err
			}
			return h(ctx, c, in)
		},
		target: func(body []byte) (tenant.CustomizationID, error) {
			in := new(In)
			if err := decode(body, in); err != nil {
				return tenant.CustomizationID{}, err
			}
			t, ok := any(in).(targeted)
			if !ok {
				return tenant.CustomizationID{}, nil
			}
			return ParseCustomization(t.customization())
		},
	}
}

// Firewalled lists the operations as the identity firewall must know them: it
// derives action and verbs from the signed request line with this list, and
// believes nothing that the front end says about them.
func Firewalled(ops []Operation) []fas.Operation {
	var out []fas.Operation
	for _, o := range ops {
		out = append(out, fas.Operation{Path: "/" + o.Name, Action: o.Action,
			OnCustomization: o.OnTarget, Mutating: o.Mutating, Verbs: o.Verbs})
	}
	return out
}

// Table serves the operations.
type Table struct {
	gate fas.Gate
	ops  map[string]Operation
	rep  Reporter
	log  func(op string, req tenant.RequestID, status string, d time.Duration)
}

var operationName = regexp.MustCompile(`^[A-Z][A-Za-z]*$`)

// Reporter takes what the front end refused by itself to the audit log.
type Reporter interface {
	Report(context.Context, fas.Refusal) error
}

// NewTable refuses a nil gate or reporter, an empty table, two lines of one
// name, and a line that does not fit its operation: without a plane, an action
// or a verb, with a target that its input does not name or the other way
// round, or with a larger body than the evidence of a change can carry.
func NewTable(gate fas.Gate, rep Reporter, ops []Operation, log func(op string, req tenant.RequestID, status string, d time.Duration)) (*Table, error) {
	if gate == nil || rep == nil || len(ops) == 0 {
		return nil, errors.New("api: a table needs a gate, a reporter and operations")
	}
	t := &Table{gate: gate, rep: rep, ops: map[string]Operation{}, log: log}
	for _, o := range ops {
		if _, dup := t.ops["/"+o.Name]; dup || !operationName.MatchString(o.Name) || o.Action == "" || len(o.Verbs) == 0 ||
			o.Plane != Control && o.Plane != Runtime || o.serve == nil {
			return nil, fmt.Errorf("api: operation %q is incomplete or twice in the table", o.Name)
		}
		if o.OnTarget != o.aimed || o.MaxBody < 0 || o.Mutating && o.MaxBody > sigv4.MaxBody {
			return nil, fmt.Errorf("api: operation %q does not fit its line", o.Name)
		}
		t.ops["/"+o.Name] = o
	}
	return t, nil
}

// Operations returns the table's lines by name.
func (t *Table) Operations() []Operation {
	var out []Operation
	for _, o := range t.ops {
		out = append(out, o)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// ServeHTTP takes a request through its line: size, signature evidence,
// firewall, decoding, handler.
func (t *Table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, start := tenant.NewRequestID(), time.Now()
	status := "ok"
	// The target as it was sent: an escaped or absolute one, or one with a
	// query, is no operation, whatever a router would make of it.
	op, known := t.ops[r.RequestURI]
	defer func() {
		if t.log != nil {
			t.log(op.Name, req, status, time.Since(start))
		}
	}()
	var target tenant.CustomizationID
	fail := func(err error) {
		why := err
		if reason := reasonOf(err); reason != "" {
			// It is refused, whether or not that can be recorded.
			_ = t.rep.Report(context.WithoutCancel(r.Context()), fas.Refusal{Request: req, Customization: target, Reason: reason})
		}
		err = public(err)
		var e *Error
		if errors.As(err, &e) {
			status = e.Code
		}
		if e == ErrInternal {
			// The operator's log says why; errors of the rooms below hold
			// machine IDs only.
			status += " " + why.Error()
		}
		writeError(w, req, err)
	}
	if !known || r.Method != http.MethodPost {
		fail(ErrUnknownOperation)
		return
	}
	trace := newTrace()
	r.Body = http.MaxBytesReader(w, r.Body, op.MaxBody)
	evidence, body, err := capture(r, op.MaxBody)
	if err != nil {
		fail(err)
		return
	}
	ev, err := evidence(nil)
	if err != nil {
		fail(err)
		return
	}
	trace.step("capture")
	target, err = op.target(body)
	if err != nil {
		fail(err)
		return
	}
	trace.step("decode")
	s, err := t.gate.AssumeOwn(r.Context(), ev, fas.Request{RequestID: req, Customization: target})
	if err != nil {
		fail(err)
		return
	}
	defer s.Close()
	trace.step("firewall")
	trace.inside(s.Spans())
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	if op.Mutating {
		if ev, err = evidence(body); err != nil {
			fail(err)
			return
		}
	}
	out, err := op.serve(ctx, &Call{Request: req, Session: s, Evidence: ev, Target: target, Trace: trace}, body)
	if err != nil {
		fail(err)
		return
	}
	trace.step("encode")
	if op.Plane == Runtime {
		w.Header().Set("Server-Timing", trace.String())
	}
	writeJSON(w, req, http.StatusOK, "", out)
}
