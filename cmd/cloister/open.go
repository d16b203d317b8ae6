package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/kmsctx"
)

// open verifies the header. Where it is for another context, the error says
// what of the caller's flags may be the reason.
func (a *envelopeArgs) open(ctx context.Context, env *kmsctx.Envelope, ec kmsctx.Context, r io.Reader) (*kmsctx.Reader, error) {
	h := &beginning{r: r}
	plain, err := env.NewReader(ctx, h, ec)
	if err != nil {
		return nil, a.explain(err, ec, h.b)
	}
	h.stop, h.b = true, nil
	return plain, nil
}

// explain adds to an error of the header what of the caller's flags may be the
// reason. It names keys only: those that the caller gave, and those that everybody
// can read in the header. Values stay where they are.
func (a *envelopeArgs) explain(err error, ec kmsctx.Context, head []byte) error {
	switch {
	case errors.Is(err, kmsctx.ErrNoMatchingKey) && len(a.withhold) == 0:
		return fmt.Errorf("%w; it may be bound to pairs that the header does not store: give each with --context, and its key with --withhold", err)
	case !errors.Is(err, kmsctx.ErrContextMismatch):
		return err
	}
	u, uerr := kmsctx.InspectUnverified(head)
	if uerr != nil {
		return err
	}
	var absent []string
	pairs := ec.Pairs()
	for k, v := range pairs {
		if stored, ok := u.Context[k]; ok && stored != v {
			return err // another message, and which one is nobody's business
		} else if !ok && !slices.Contains(a.withhold, k) {
			absent = append(absent, k)
		}
	}
	if len(absent) > 0 {
		slices.Sort(absent)
		return fmt.Errorf("%w: the header does not store %q; if it was sealed with --withhold, open it with --withhold %s", err, absent, strings.Join(absent, " --withhold "))
	}
	return fmt.Errorf("%w: the header stores keys that no --context gives; cloister inspect shows them", err)
}

// beginning keeps the first bytes that are read, as long as they are a header.
type beginning struct {
	r    io.Reader
	b    []byte
	stop bool
}

// Read implements io.Reader.
func (h *beginning) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if !h.stop && len(h.b) < maxHeader {
		h.b = append(h.b, p[:n]...)
	}
	return n, err
}
