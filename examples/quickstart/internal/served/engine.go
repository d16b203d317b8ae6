//go:build unix

package served

import (
	"context"
	"os"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/gpuinfer/ngram"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
)

// Snapshot hands a slot the sealed file of the session's snapshot; the path is
// made of the session's own IDs.
func (w *World) Snapshot(_ context.Context, s *fas.Session) (*os.File, error) {
	b, err := retrieval.BindingOf(s)
	if err != nil {
		return nil, err
	}
	return os.Open(w.Collections.Path(b))
}

// Engine loads, in a slot's process, the model that the snapshot carries.
type Engine struct{}

// Load implements gpuinfer.Engine.
func (Engine) Load(_ context.Context, in gpuinfer.Input) (gpuinfer.Model, error) {
	defer in.File.Close()
	b := retrieval.Binding{Tenant: in.Tenant, Customization: in.Customization, Collection: in.Collection, Snapshot: in.Snapshot}
	s, err := embedded.OpenFile(in.File, b, in.Manifest, in.Key)
	if err != nil {
		return nil, err
	}
	model, err := s.Attachment(modelBlob)
	if err != nil {
		return nil, err
	}
	return ngram.Load(model)
}
