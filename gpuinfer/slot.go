package gpuinfer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cloisterdev/cloister/tenant"
)

// maxFrame bounds a message between pool and slot, in bytes.
const maxFrame = 4 << 20

type loadMessage struct {
	Tenant        tenant.ID              `json:"tenant"`
	Customization tenant.CustomizationID `json:"customization"`
	Collection    tenant.CollectionID    `json:"collection"`
	Snapshot      tenant.SnapshotID      `json:"snapshot"`
	Manifest      []byte                 `json:"manifest"`
	Key           []byte                 `json:"key"`
}

type promptMessage struct {
	N         int      `json:"n"` // the answer has the same
	Prefix    string   `json:"prefix"`
	Suffix    string   `json:"suffix"`
	Path      string   `json:"path"`
	MaxTokens int      `json:"max"`
	Chunks    []string `json:"chunks"`
}

type answerMessage struct {
	N      int     `json:"n,omitempty"`
	Error  string  `json:"error,omitempty"`
	Tokens []Token `json:"tokens,omitempty"`
}

// frame is a message as it is sent: its length in four bytes, and JSON.
func frame(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	if len(b) > maxFrame {
		return nil, fmt.Errorf("a message of %d bytes", len(b))
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...), nil
}

func writeFrame(w io.Writer, v any) error {
	m, err := frame(v)
	if err != nil {
		return err
	}
	defer clear(m)
	_, err = w.Write(m)
	return err
}

func readFrame(r io.Reader, v any) error {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > maxFrame {
		return fmt.Errorf("a message of %d bytes", size)
	}
	b := make([]byte, size)
	defer clear(b)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// SlotOptions of [ServeSlot].
type SlotOptions struct {
	// Confine is called after the model is loaded and before the first prompt.
	// Required: a slot that cannot confine itself does not serve.
	Confine func() error
}

// ServeSlot is the life of a slot's process: one load, then prompts, until the
// pool closes the connection. The sealed file is descriptor 4.
func ServeSlot(ctx context.Context, conn *os.File, e Engine, o SlotOptions) error {
	if conn == nil || e == nil || o.Confine == nil {
		return ErrConfig
	}
	c, err := net.FileConn(conn)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer c.Close()
	_ = conn.Close()
	var in loadMessage
	if err := readFrame(c, &in); err != nil {
		return err
	}
	model, err := load(ctx, e, in)
	clear(in.Key)
	if err == nil {
		err = o.Confine()
	}
	if err != nil {
		return errors.Join(err, writeFrame(c, answerMessage{Error: "load"}))
	}
	if err := writeFrame(c, answerMessage{}); err != nil {
		return err
	}
	for {
		var p promptMessage
		if err := readFrame(c, &p); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := writeFrame(c, complete(ctx, model, p)); err != nil {
			return err
		}
	}
}

func load(ctx context.Context, e Engine, in loadMessage) (Model, error) {
	if len(in.Manifest) != 32 {
		return nil, ErrConfig
	}
	return e.Load(ctx, Input{File: os.NewFile(4, "snapshot"), Tenant: in.Tenant, Customization: in.Customization,
		Collection: in.Collection, Snapshot: in.Snapshot, Manifest: [32]byte(in.Manifest), Key: in.Key})
}

func complete(ctx context.Context, m Model, p promptMessage) (out answerMessage) {
	prompt := Prompt{Prefix: p.Prefix, Suffix: p.Suffix, Path: p.Path, MaxTokens: p.MaxTokens}
	for _, c := range p.Chunks {
		prompt.Chunks = append(prompt.Chunks, Chunk{Text: c})
	}
	out.N = p.N
	for t, err := range m.Complete(ctx, prompt) {
		if err != nil {
			return answerMessage{N: p.N, Error: "complete"}
		}
		out.Tokens = append(out.Tokens, t)
	}
	return out
}
