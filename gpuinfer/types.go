package gpuinfer

import (
	"context"
	"errors"
	"iter"
	"os"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrForeignContext = errors.New("gpuinfer: a chunk of another customization")
	ErrStaleLease     = errors.New("gpuinfer: stale lease")
	ErrBusy           = errors.New("gpuinfer: no slot is free")
	ErrAttest         = errors.New("gpuinfer: the slot is not what was declared")
	ErrSlot           = errors.New("gpuinfer: the slot failed")
	ErrConfig         = errors.New("gpuinfer: configuration not accepted")
)

// Prompt is what a completion is asked for.
type Prompt struct {
	Prefix, Suffix, Path string
	MaxTokens            int // zero means 32, at most 256
	Chunks               []Chunk
}

// Chunk is retrieved text with the customization that it came from.
type Chunk struct {
	Customization tenant.CustomizationID
	Text          string
}

// Token is one piece of a completion. It comes from the prompt's own text, or
// is supported by positions in the customization's corpus.
type Token struct {
	Text       string     `json:"t"`
	Prob       float64    `json:"p"`
	Support    []Position `json:"s,omitempty"`
	FromPrompt bool       `json:"f,omitempty"`
}

// Position is a place in the corpus. Line counts from 1, Offset in bytes.
type Position struct {
	Doc    string `json:"d"`
	Line   int    `json:"l"`
	Offset int    `json:"o"`
}

// Model completes prompts, in a slot's process.
type Model interface {
	Complete(context.Context, Prompt) iter.Seq2[Token, error]
}

// Input is what a slot's process may load: one sealed file, its key and what
// it is bound to.
type Input struct {
	File          *os.File
	Tenant        tenant.ID
	Customization tenant.CustomizationID
	Collection    tenant.CollectionID
	Snapshot      tenant.SnapshotID
	Manifest      [32]byte
	Key           []byte
}

// Engine loads a model in a slot's process, once.
type Engine interface {
	Load(context.Context, Input) (Model, error)
}

// Source hands out the sealed file of a session's snapshot. The pool closes it.
type Source interface {
	Snapshot(context.Context, *fas.Session) (*os.File, error)
}

// Partition is a set of cores that belongs to one slot.
type Partition struct{ CPUs []int }

// SlotInfo describes the slot of a lease.
type SlotInfo struct {
	PID        int
	Generation int
	CPUs       []int
	Pinned     bool // verified for every thread
}
