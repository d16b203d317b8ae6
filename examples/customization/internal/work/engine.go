package work

import (
	"context"
	"errors"

	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
)

// Engine loads the completion model of exactly one snapshot in an engine slot.
type Engine struct{}

// Load opens the sealed snapshot, reads the model out of it and closes it.
func (Engine) Load(ctx context.Context, in gpuinfer.Input) (gpuinfer.Model, error) {
	if in.File == nil {
		return nil, errors.New("work: a slot needs a snapshot")
	}
	defer in.File.Close()
	b := retrieval.Binding{Tenant: in.Tenant, Customization: in.Customization, Collection: in.Collection, Snapshot: in.Snapshot}
	snap, err := embedded.OpenFile(in.File, b, in.Manifest, in.Key)
	if err != nil {
		return nil, err
	}
	return loadModel(snap)
}
