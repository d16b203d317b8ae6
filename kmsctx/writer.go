package kmsctx

import (
	"context"
	"io"
	"slices"
)

// frameSealer turns plaintext into the rest of a message, frame by frame.
type frameSealer struct {
	w      work
	sig    *signing
	seq    uint32
	frame  int
	sealed []byte
	total  int64 // plaintext so far
	most   int64
}

// next seals one frame into memory that the next call reuses.
func (s *frameSealer) next(ctx context.Context, plain []byte, last bool) (_ []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.total += int64(len(plain)); s.total > s.most || s.seq == maxFrames {
		return nil, fail(ErrLimit, "plaintext of the stream")
	}
	s.seq++
	room := len(plain) + frameOverhead
	if last {
		room += finalExtra + maxFooter
	}
	s.sealed = s.w.f.seal(slices.Grow(s.sealed[:0], room), plain, s.seq, last)
	if s.sig != nil {
		s.sig.sum.Write(s.sealed)
		if last {
			return s.sig.appendFooter(s.sealed)
		}
	}
	return s.sealed, nil
}

func (s *frameSealer) wipe() { s.w, s.sig = work{}, nil }

// beginStream makes a sealer and the header that belongs before its frames.
func (e *Envelope) beginStream(ctx context.Context, ec Context) (*frameSealer, []byte, error) {
	s := &frameSealer{frame: e.o.FrameLength, most: e.o.MaxStream}
	size := int64(unknownSize)
	if s.most < 1<<62 {
		size = s.most
	}
	head, sig, err := e.begin(ctx, nil, ec, size, 0, &s.w)
	s.sig = sig
	return s, head, err
}

// Writer seals a stream of unknown length. Without Close there is no final
// frame, so that a reader sees [ErrTruncated]. It is not safe for concurrent
// use.
type Writer struct {
	ctx    context.Context
	w      io.Writer
	s      *frameSealer
	plain  []byte // less than a frame, or one whose successor is not known yet
	err    error
	closed bool
}

// NewWriter writes a header to w and returns a writer for the plaintext. It
// holds a frame of plaintext and one of ciphertext, and does not close w. ctx
// is asked at every frame. Errors are those of [Envelope.Seal] and w's.
func (e *Envelope) NewWriter(ctx context.Context, w io.Writer, ec Context) (*Writer, error) {
	out, head, err := e.NewDetachedWriter(ctx, w, ec)
	if err != nil {
		return nil, err
	}
	if err := writeAll(w, head); err != nil {
		out.Abort()
		return nil, at("seal", err)
	}
	return out, nil
}

// NewDetachedWriter is [Envelope.NewWriter] for a header that is kept apart:
// it is returned, and w receives the body alone. Header and body one after
// the other are an ordinary message.
func (e *Envelope) NewDetachedWriter(ctx context.Context, w io.Writer, ec Context) (*Writer, []byte, error) {
	if w == nil {
		return nil, nil, at("seal", fail(ErrMalformed, "no writer"))
	}
	s, head, err := e.beginStream(ctx, ec)
	if err != nil {
		return nil, nil, at("seal", err)
	}
	return &Writer{ctx: ctx, w: w, s: s}, head, nil
}

func writeAll(w io.Writer, b []byte) error {
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// fail makes err the answer to everything from now on.
func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = at("seal", err)
		w.wipe()
	}
	return w.err
}

func (w *Writer) wipe() {
	clear(w.plain[:cap(w.plain)])
	w.s.wipe()
	w.plain = nil
}

func (w *Writer) emit(plain []byte, last bool) error {
	b, err := w.s.next(w.ctx, plain, last)
	if err == nil {
		err = writeAll(w.w, b)
	}
	if err != nil {
		return w.fail(err)
	}
	return nil
}

// hold makes room for n bytes of plaintext: little at first, as most streams
// are short, then a frame and the byte that tells that it is not the last.
func (w *Writer) hold(n int) {
	if n <= cap(w.plain) {
		return
	}
	c := w.s.frame + 1
	if n <= 4<<10 {
		c = min(c, 4<<10)
	}
	old := w.plain
	w.plain = append(make([]byte, 0, c), old...)
	clear(old)
}

// Write seals p. After an error every call returns it.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.closed {
		return 0, at("seal", fail(ErrClosed, ""))
	}
	for len(p) > 0 && w.err == nil {
		k := min(len(p), w.s.frame-len(w.plain))
		switch {
		case k == 0: // more follows than a frame that is full
			if w.emit(w.plain, false) == nil {
				w.plain = w.plain[:0]
			}
			continue
		case len(w.plain) == 0 && len(p) > w.s.frame:
			err = w.emit(p[:k], false)
		default:
			w.hold(len(w.plain) + k)
			w.plain = append(w.plain, p[:k]...)
		}
		if err == nil {
			n, p = n+k, p[k:]
		}
	}
	return n, w.err
}

// ReadFrom seals what r has. An error of r ends the writer too, as its caller
// may not notice that the plaintext is incomplete.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	if w.closed {
		return 0, at("seal", fail(ErrClosed, ""))
	}
	for idle := 0; w.err == nil; idle++ {
		w.hold(w.s.frame + 1)
		k, err := readSome(w.ctx, r, w.plain[len(w.plain):w.s.frame+1])
		w.plain, n = w.plain[:len(w.plain)+k], n+int64(k)
		if len(w.plain) > w.s.frame {
			if w.emit(w.plain[:w.s.frame], false) != nil {
				break
			}
			w.plain[0] = w.plain[w.s.frame]
			w.plain = w.plain[:1]
		}
		if err == io.EOF { //nolint:errorlint // the io.Reader contract
			return n, nil
		}
		if k > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdle {
			err = io.ErrNoProgress
		}
		if err != nil {
			return n, w.fail(err)
		}
	}
	return n, w.err
}

// Close writes the final frame, without which nobody can open the message to
// its end, and wipes what is held. It does not close the underlying writer. It
// is harmless twice; after an error or Abort it returns that.
func (w *Writer) Close() error {
	if w.err != nil || w.closed {
		return w.err
	}
	if err := w.emit(w.plain, true); err != nil {
		return err
	}
	w.closed = true
	w.wipe()
	return nil
}

// Abort gives the message up: no final frame is written, and every later call
// but of a closed writer returns [ErrAborted].
func (w *Writer) Abort() {
	if !w.closed {
		_ = w.fail(fail(ErrAborted, ""))
	}
}
