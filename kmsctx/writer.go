package kmsctx

import (
	"context"
	"io"
)

// plainAt is where in its buffer the plaintext of a frame lies: behind room for
// the longest head, at the begin of a cache line.
const plainAt = 64

// frameSealer turns plaintext into the rest of a message, frame by frame. It
// seals a frame where its plaintext lies, so that a stream needs the memory of
// one.
type frameSealer struct {
	w     work
	sig   *signing
	seq   uint32
	frame int
	buf   []byte
	n     int // plaintext held
	carry [1]byte
	extra int   // bytes in carry: what was read behind a frame, where its tag went
	total int64 // plaintext so far
	most  int64
}

// room makes room for n bytes of plaintext in all, and what is written around
// them: little at first, as most streams are short, then a frame and the byte
// that tells that it is not the last.
func (s *frameSealer) room(n int) {
	if n == 0 || plainAt+n+gcmTag+maxFooter <= len(s.buf) {
		return
	}
	size := s.frame + 1
	if n <= 4<<10 {
		size = min(size, 4<<10)
	}
	b := make([]byte, plainAt+size+gcmTag+maxFooter)
	copy(b, s.buf)
	clear(s.buf)
	s.buf = b
}

// add holds p, which fits into the frame.
func (s *frameSealer) add(p []byte) {
	s.room(s.n + len(p))
	s.n += copy(s.buf[plainAt+s.n:], p)
}

// read holds what one Read gives, up to a byte more than a frame.
func (s *frameSealer) read(ctx context.Context, r io.Reader) (n int, err error) {
	s.room(s.frame + 1)
	n, err = readSome(ctx, r, s.buf[plainAt+s.n:plainAt+s.frame+1])
	s.n += n
	return n, err
}

// flush seals the frame that is held. What it returns is good until resume.
func (s *frameSealer) flush(ctx context.Context, last bool) ([]byte, error) {
	s.room(1)
	n := min(s.n, s.frame)
	s.extra = copy(s.carry[:], s.buf[plainAt+n:plainAt+s.n])
	s.n = 0
	return s.seal(ctx, s.buf[plainAt:plainAt+n], last)
}

// resume begins the next frame with the byte that was read of it.
func (s *frameSealer) resume() {
	if s.extra > 0 {
		s.n, s.extra = copy(s.buf[plainAt:], s.carry[:]), 0
	}
}

// seal seals one frame, when none is held. What it returns is good until the
// next call.
func (s *frameSealer) seal(ctx context.Context, plain []byte, last bool) (_ []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.total += int64(len(plain)); s.total > s.most || s.seq == maxFrames {
		return nil, fail(ErrLimit, "plaintext of the stream")
	}
	s.seq++
	s.room(len(plain))
	at := plainAt - frameHead
	if last {
		at -= finalExtra
	}
	sealed := s.w.f.seal(s.buf[at:at], plain, s.seq, last)
	if s.sig != nil {
		s.sig.sum.Write(sealed)
		if last {
			return s.sig.appendFooter(sealed)
		}
	}
	return sealed, nil
}

func (s *frameSealer) wipe() {
	clear(s.buf)
	clear(s.carry[:])
	s.buf, s.w, s.sig = nil, work{}, nil
}

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
	s      *frameSealer // it holds less than a frame, or one whose successor is not known yet
	err    error
	closed bool
}

// NewWriter writes a header to w and returns a writer for the plaintext. It
// holds one frame and does not close w. ctx is asked at every frame. Errors are those of [Envelope.Seal] and w's.
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
		w.s.wipe()
	}
	return w.err
}

// emit writes what was sealed.
func (w *Writer) emit(sealed []byte, err error) error {
	if err == nil {
		err = writeAll(w.w, sealed)
	}
	if err != nil {
		return w.fail(err)
	}
	w.s.resume()
	return nil
}

// Write seals p. After an error every call returns it.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.closed {
		return 0, at("seal", fail(ErrClosed, ""))
	}
	for len(p) > 0 && w.err == nil {
		k := min(len(p), w.s.frame-w.s.n)
		switch {
		case k == 0: // more follows than a frame that is full
			_ = w.emit(w.s.flush(w.ctx, false))
			continue
		case w.s.n == 0 && len(p) > w.s.frame:
			err = w.emit(w.s.seal(w.ctx, p[:k], false))
		default:
			w.s.add(p[:k])
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
		k, err := w.s.read(w.ctx, r)
		n += int64(k)
		if w.s.n > w.s.frame && w.emit(w.s.flush(w.ctx, false)) != nil {
			break
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
	if err := w.emit(w.s.flush(w.ctx, true)); err != nil {
		return err
	}
	w.closed = true
	w.s.wipe()
	return nil
}

// Abort gives the message up: no final frame is written, and every later call
// but of a closed writer returns [ErrAborted].
func (w *Writer) Abort() {
	if !w.closed {
		_ = w.fail(fail(ErrAborted, ""))
	}
}
