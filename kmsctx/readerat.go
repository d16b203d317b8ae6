package kmsctx

import (
	"bytes"
	"context"
	"io"
	"sync"
)

// ReaderAt opens any part of a message of suite 0x0478 without the rest. It is
// safe for concurrent use, as [io.ReaderAt] demands. Each read reads and
// verifies the frames that it touches, whole.
type ReaderAt struct {
	ctx     context.Context
	src     io.ReaderAt
	base    int64 // where the body begins in src
	frame   int64
	frames  int64
	size    int64
	scratch sync.Pool // *frameScratch
}

type frameScratch struct {
	f   framer
	buf []byte
}

// spanBytes is how much ciphertext is fetched at once for a read of many
// frames.
const spanBytes = 1 << 20

// NewReaderAt opens the header and the final frame: the length of the
// plaintext is what the final frame says, and is authentic then. size is the
// length of the message in r, in bytes; a smaller one cuts the message, which
// is noticed. It refuses signed and non-framed messages with [ErrUnsupported]:
// only their whole tells whether they are true. ctx ends all later reads too.
//
// Errors are those of [Envelope.Open] and r's.
func (e *Envelope) NewReaderAt(ctx context.Context, r io.ReaderAt, size int64, want Context) (*ReaderAt, error) {
	if r == nil || size < 0 {
		return nil, at("open", fail(ErrMalformed, "no reader or size"))
	}
	var head []byte
	for n := int64(min(2<<10, e.l.header+1)); ; n *= 2 {
		n = min(n, size, int64(e.l.header)+1)
		head = make([]byte, n)
		if err := readFullAt(ctx, r, head, 0); err != nil {
			return nil, at("open", err)
		}
		h, err := parseHeader(head, e.l)
		if err == error(errShort) && n < size { //nolint:errorlint // that very one
			continue
		}
		if err != nil {
			return nil, at("open", err)
		}
		d, err := e.newReaderAt(ctx, h, r, int64(h.length), size-int64(h.length), want)
		return d, at("open", err)
	}
}

// NewDetachedReaderAt is [Envelope.NewReaderAt] for a header that is kept apart
// from a body of size bytes.
func (e *Envelope) NewDetachedReaderAt(ctx context.Context, header []byte, body io.ReaderAt, size int64, want Context) (*ReaderAt, error) {
	if body == nil || size < 0 {
		return nil, at("open", fail(ErrMalformed, "no reader or size"))
	}
	h, err := parseDetached(bytes.Clone(header), e.l)
	if err != nil {
		return nil, at("open", err)
	}
	d, err := e.newReaderAt(ctx, h, body, 0, size, want)
	return d, at("open", err)
}

func (e *Envelope) newReaderAt(ctx context.Context, h *header, r io.ReaderAt, base, body int64, want Context) (*ReaderAt, error) {
	if h.suite.signed() || !h.framed {
		return nil, fail(ErrUnsupported, "random access to a signed or non-framed message")
	}
	w := works.Get().(*work)
	defer w.free()
	if _, err := e.authenticate(ctx, h, want, w, nil); err != nil {
		return nil, err
	}
	frame := int64(h.frameLength)
	const least = frameOverhead + finalExtra
	if body < least {
		return nil, fail(ErrTruncated, "body of %d bytes", body)
	}
	regular, last := (body-least)/(frame+frameOverhead), (body-least)%(frame+frameOverhead)
	if last > frame {
		return nil, fail(ErrTruncated, "in a frame")
	}
	d := &ReaderAt{ctx: ctx, src: r, base: base, frame: frame, frames: regular + 1, size: regular*frame + last}
	if d.frames > maxFrames || d.size > e.o.MaxStream {
		return nil, fail(ErrLimit, "%d bytes of plaintext", d.size)
	}
	f := w.f
	d.scratch.New = func() any { return &frameScratch{f: f} }
	s := d.scratch.New().(*frameScratch)
	defer d.put(s)
	if _, err := d.fetch(s, regular, regular+1); err != nil {
		return nil, err
	}
	_, err := d.open(s, s.buf, regular)
	return d, err
}

// Size returns the length of the plaintext, which is authentic.
func (d *ReaderAt) Size() int64 { return d.size }

// CiphertextRange returns where in the source the frames lie that hold n bytes
// of plaintext at off: one HTTP range. It covers what exists of them; beyond
// the end, and for what is no range, the length is 0.
func (d *ReaderAt) CiphertextRange(off, n int64) (start, length int64) {
	if off < 0 || n <= 0 || off >= d.size {
		return d.base, 0
	}
	n = min(n, d.size-off)
	first, last := off/d.frame, (off+n-1)/d.frame
	start = d.offset(first)
	return d.base + start, d.offset(last) + d.length(last) - start
}

// offset is where frame i, from 0, begins in the body.
func (d *ReaderAt) offset(i int64) int64 { return i * (d.frame + frameOverhead) }

// plainLength is how much plaintext frame i holds.
func (d *ReaderAt) plainLength(i int64) int64 {
	if i == d.frames-1 {
		return d.size - i*d.frame
	}
	return d.frame
}

func (d *ReaderAt) length(i int64) int64 {
	n := d.plainLength(i) + frameOverhead
	if i == d.frames-1 {
		n += finalExtra
	}
	return n
}

// ReadAt implements [io.ReaderAt]. On an error it returns what verified before
// it. Reads of one frame allocate nothing.
func (d *ReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, at("open", fail(ErrMalformed, "negative offset"))
	}
	s := d.scratch.Get().(*frameScratch)
	defer d.put(s)
	for n < len(p) {
		pos := off + int64(n)
		if pos < 0 || pos >= d.size {
			return n, io.EOF
		}
		first := pos / d.frame
		end := (min(d.size, pos+int64(len(p)-n))-1)/d.frame + 1
		end = min(end, first+max(1, spanBytes/(d.frame+frameOverhead)))
		got, err := d.fetch(s, first, end)
		if err != nil {
			return n, at("open", err)
		}
		for i := first; i < end; i++ {
			plain, err := d.open(s, got, i)
			if err != nil {
				return n, at("open", err)
			}
			got = got[d.length(i):]
			n += copy(p[n:], plain[off+int64(n)-i*d.frame:])
		}
	}
	return n, nil
}

// fetch reads frames first to end-1 into s.
func (d *ReaderAt) fetch(s *frameScratch, first, end int64) ([]byte, error) {
	n := int(d.offset(end-1) + d.length(end-1) - d.offset(first))
	clear(s.buf) // plaintext of the frames before; put sees only what is read now
	if n > cap(s.buf) {
		s.buf = make([]byte, n)
	}
	s.buf = s.buf[:n]
	return s.buf, readFullAt(d.ctx, d.src, s.buf, d.base+d.offset(first))
}

// open verifies frame i, which begins at b, in place.
func (d *ReaderAt) open(s *frameScratch, b []byte, i int64) ([]byte, error) {
	seq := uint32(i) + 1
	h, err := parseHead(b, seq, int(d.frame))
	if err != nil {
		return nil, err
	}
	if h.last != (i == d.frames-1) || int64(h.n) != d.plainLength(i) {
		return nil, &Error{Kind: ErrFrameAuth, Frame: i + 1}
	}
	sealed := b[h.size : h.size+h.n+gcmTag]
	return s.f.open(sealed[:0], h.iv, sealed, seq, h.last)
}

// put keeps scratch for the next read, without the plaintext.
func (d *ReaderAt) put(s *frameScratch) {
	clear(s.buf)
	s.buf = s.buf[:0]
	d.scratch.Put(s)
}

func readFullAt(ctx context.Context, r io.ReaderAt, p []byte, off int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil // io.EOF may come with the last bytes
	}
	if err == nil || err == io.EOF { //nolint:errorlint // the io.ReaderAt contract
		return fail(ErrTruncated, "the source is shorter than its size")
	}
	return err
}
