package retrieval

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrBinding  = errors.New("retrieval: no collection")
	ErrManifest = errors.New("retrieval: not the pinned snapshot")
	ErrDamaged  = errors.New("retrieval: snapshot damaged")
	ErrMixed    = errors.New("retrieval: hits of different bindings")
	ErrLimit    = errors.New("retrieval: limit exceeded")
)

// Binding is what a snapshot belongs to. Everything sealed is bound to all of
// it. It names things and opens nothing.
type Binding struct {
	Tenant        tenant.ID              `json:"tenant"`
	Customization tenant.CustomizationID `json:"customization"`
	Collection    tenant.CollectionID    `json:"collection"`
	Snapshot      tenant.SnapshotID      `json:"snapshot"`
}

// BindingOf is the binding of the snapshot that a session opens.
func BindingOf(s *fas.Session) (Binding, error) {
	if err := s.Err(); err != nil {
		return Binding{}, err
	}
	b := Binding{s.Tenant(), s.Customization(), s.Collection(), s.Snapshot()}
	return b, b.Err()
}

// Err returns [ErrBinding] when an ID is zero.
func (b Binding) Err() error {
	if b.Tenant.IsZero() || b.Customization.IsZero() || b.Collection.IsZero() || b.Snapshot.IsZero() {
		return ErrBinding
	}
	return nil
}

// Context is the encryption context of a binding and a purpose.
func (b Binding) Context(purpose string) (kmsctx.Context, error) {
	if err := b.Err(); err != nil {
		return kmsctx.Context{}, err
	}
	return kmsctx.NewContext(map[string]string{"tenant": b.Tenant.String(), "customization": b.Customization.String(),
		"collection": b.Collection.String(), "snapshot": b.Snapshot.String(), "purpose": purpose})
}

// Backend is an open snapshot of a driver.
type Backend interface {
	Search(context.Context, Query) ([]Match, error)
	Close() error
}

// Driver opens snapshots. OpenReader must return [ErrManifest] when the
// snapshot's digest is not manifest.
type Driver interface {
	OpenReader(ctx context.Context, b Binding, manifest [32]byte, key []byte) (Backend, error)
}

// Match is what a driver finds.
type Match struct {
	Path               string
	StartLine, EndLine int
	Text               string
	Score              float64
}

// Query asks for code. K is the number of hits, zero means 10, at most 50.
type Query struct {
	Text           string // words, identifiers, or code; at most 64 KiB
	Path, Language string // of the open file; hits in Path itself are left out
	K              int
}

// Hit is a match with the binding that it came from. A Hit that was not
// returned by [Reader.Query] is refused by [BuildPrompt].
type Hit struct {
	Match
	from *Binding
}

// Results are the hits, best first.
type Results struct{ Hits []Hit }

// Reader searches the one snapshot of a session, as long as the session lives.
type Reader struct {
	s *fas.Session
	b Binding
	h Backend
}

// Open opens the session's snapshot.
func Open(ctx context.Context, s *fas.Session, d Driver) (*Reader, error) {
	if d == nil {
		return nil, fmt.Errorf("%w: no driver", ErrBinding)
	}
	b, err := BindingOf(s)
	if err != nil {
		return nil, err
	}
	r := &Reader{s: s, b: b}
	err = s.WithKey(fas.VerbQuery, func(key []byte) error {
		r.h, err = d.OpenReader(ctx, b, s.Manifest(), key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close closes the snapshot.
func (r *Reader) Close() error { return r.h.Close() }

// Query searches. It asks the session first, at every call.
func (r *Reader) Query(ctx context.Context, q Query) (Results, error) {
	if err := r.s.Err(); err != nil {
		return Results{}, err
	}
	if q.K == 0 {
		q.K = 10
	}
	if q.K < 0 || q.K > 50 || len(q.Text) > 64<<10 {
		return Results{}, ErrLimit
	}
	ms, err := r.h.Search(ctx, q)
	if err != nil {
		return Results{}, err
	}
	var out Results
	for _, m := range ms {
		out.Hits = append(out.Hits, Hit{m, &r.b})
	}
	return out, nil
}

// Prompt is text of exactly one binding.
type Prompt struct {
	Prefix, Suffix string
	Chunks         []string
	binding        Binding
}

// Binding returns the one binding of the prompt's chunks, zero without any.
func (p Prompt) Binding() Binding { return p.binding }

// BuildPrompt puts hits and the open file together. Hits of two bindings, and
// hits made by hand, are refused with [ErrMixed].
func BuildPrompt(prefix, suffix string, hits ...Hit) (Prompt, error) {
	p := Prompt{Prefix: prefix, Suffix: suffix}
	for _, h := range hits {
		if h.from == nil || len(p.Chunks) > 0 && *h.from != p.binding {
			return Prompt{}, ErrMixed
		}
		p.binding = *h.from
		p.Chunks = append(p.Chunks, h.Text)
	}
	return p, nil
}
