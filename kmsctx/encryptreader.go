package kmsctx

import (
	"context"
	"io"
)

type encryptReader struct {
	ctx  context.Context
	src  io.Reader
	s    *frameSealer
	out  []byte // sealed, not read yet
	end  bool   // the source has no more
	last bool   // the final frame is sealed
	err  error
}

// EncryptReader returns a reader of a message that holds what r has, for
// where something else reads: an HTTP request, an upload. An error of r is
// returned by Read, and the message stays without its final frame. ctx is
// asked at every frame. It is not safe for concurrent use.
func (e *Envelope) EncryptReader(ctx context.Context, r io.Reader, ec Context) (io.Reader, error) {
	if r == nil {
		return nil, at("seal", fail(ErrMalformed, "no reader"))
	}
	s, head, err := e.beginStream(ctx, ec)
	if err != nil {
		return nil, at("seal", err)
	}
	return &encryptReader{ctx: ctx, src: r, s: s, out: head}, nil
}

// Read implements [io.Reader].
func (r *encryptReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 && len(p) > 0 {
		if r.err == nil && r.last {
			r.fail(io.EOF)
		}
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *encryptReader) fail(err error) {
	r.s.wipe()
	r.err = err
}

// fill seals the next frame. It reads a byte more than the frame, to know
// whether that is the last.
func (r *encryptReader) fill() {
	r.s.resume()
	for idle := 0; r.s.n <= r.s.frame && !r.end; idle++ {
		n, err := r.s.read(r.ctx, r.src)
		if n > 0 {
			idle = 0
		}
		// Only EOF itself is the end: a source that is cut off says
		// io.ErrUnexpectedEOF, and that is no complete plaintext.
		if r.end = err == io.EOF; r.end { //nolint:errorlint // the io.Reader contract
			err = nil
		} else if err == nil && idle == maxIdle {
			err = io.ErrNoProgress
		}
		if err != nil {
			r.fail(at("seal", err))
			return
		}
	}
	r.last = r.s.n <= r.s.frame
	out, err := r.s.flush(r.ctx, r.last)
	if err != nil {
		r.fail(at("seal", err))
		return
	}
	r.out = out
}

// maxIdle is how often a reader may return nothing in a row.
const maxIdle = 100

// readSome is one Read that heeds ctx and does not trust the count.
func readSome(ctx context.Context, r io.Reader, p []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.Read(p)
	if n < 0 || n > len(p) {
		return 0, fail(ErrMalformed, "a reader read %d of %d bytes", n, len(p))
	}
	return n, err
}
