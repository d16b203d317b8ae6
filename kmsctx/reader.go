package kmsctx

import (
	"context"
	"crypto/ecdsa"
	"hash"
	"io"
	"math"
)

// Reader opens a stream. It returns no byte of a frame before the frame
// verifies, the final frame not before the stream has ended where the message
// does, and [io.EOF] after nothing else. After an error every call returns it.
// It is not safe for concurrent use.
type Reader struct {
	ctx      context.Context
	src      io.Reader
	w        work
	verifier *ecdsa.PublicKey
	sum      hash.Hash // of a signed message; nil for others
	frame    int

	buf  []byte // buf[r:n] is read and not opened yet
	r, n int
	end  bool // the source has no more

	seq         uint32
	plain       []byte // verified, not returned yet; in buf, before r
	total, most int64
	done        bool
	err         error
}

// NewReader reads and verifies the header and returns a reader of the
// plaintext; the message must be all that r has. It holds one frame. What has
// been read is a prefix of the plaintext until Read returns [io.EOF]: even one
// that looks whole, as some writers end with an empty frame. Who wrote a signed
// message is not known before that either. ctx is asked at every frame. A
// detached header goes before its body, with [io.MultiReader].
//
// Read may decrypt in its caller's buffer, which is wiped where the frame does
// not verify: a buffer that others see meanwhile, such as a shared mapping, is
// no place for it.
//
// Errors are those of [Envelope.Open] and r's.
func (e *Envelope) NewReader(ctx context.Context, r io.Reader, want Context) (*Reader, error) {
	if r == nil {
		return nil, at("open", fail(ErrMalformed, "no reader"))
	}
	d := &Reader{ctx: ctx, src: r, most: e.o.MaxStream}
	if err := d.begin(e, want); err != nil {
		d.wipe()
		return nil, at("open", err)
	}
	return d, nil
}

// Suite is that of the message, whose header is verified: whether it is signed.
func (d *Reader) Suite() Suite {
	if d.verifier != nil {
		return CommittingSigned
	}
	return Committing
}

func (d *Reader) begin(e *Envelope, want Context) error {
	if err := e.accepts(want); err != nil {
		return err
	}
	for need := fixedHeader; ; need = d.n + 1 {
		if err := d.fill(need, min(max(2*need, 2<<10), e.l.header+1)); err != nil {
			return err
		}
		h, err := parseHeader(d.buf[:d.n], e.l)
		if err == error(errShort) && !d.end { //nolint:errorlint // that very one
			continue
		}
		if err != nil {
			return err
		}
		o, err := e.authenticate(d.ctx, h, want, &d.w, nil)
		if err != nil {
			return err
		}
		d.verifier, d.sum, d.frame, d.r = o.verifier, o.sum, h.frameLength, h.length
		if !h.framed {
			return d.block(h, int64(e.o.MaxPlaintext))
		}
		return nil
	}
}

// fill reads until n bytes are there or the source ends. The buffer grows as
// bytes come, up to most: a header that promises long frames gets no memory
// for the promise.
func (d *Reader) fill(n, most int) error {
	for idle := 0; d.n-d.r < n && !d.end; idle++ {
		if len(d.buf)-d.r < n && d.r > 0 {
			d.n = copy(d.buf, d.buf[d.r:d.n])
			d.r = 0
		}
		if d.n == len(d.buf) {
			b := make([]byte, min(max(4*len(d.buf), 2<<10), max(most, n)))
			d.n, d.r = copy(b, d.buf[d.r:d.n]), 0
			clear(d.buf)
			d.buf = b
		}
		k, err := readSome(d.ctx, d.src, d.buf[d.n:])
		d.n += k
		if k > 0 {
			idle = 0
		}
		if d.end = err == io.EOF; d.end { //nolint:errorlint // the io.Reader contract
			err = nil
		} else if err == nil && idle == maxIdle {
			err = io.ErrNoProgress
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next opens the next frame: into p where all of it has room there, and returns
// how much that is, or else into d.plain.
func (d *Reader) next(p []byte) (n int) {
	if d.err != nil {
		return 0
	}
	err := d.ctx.Err()
	if err == nil && d.done {
		err = io.EOF
	}
	if err == nil {
		n, err = d.open(p)
	}
	if err != nil {
		d.wipe()
		if err != io.EOF { //nolint:errorlint // made above
			err = at("open", err)
		}
		d.err = err
	}
	return n
}

func (d *Reader) open(p []byte) (n int, err error) {
	d.seq++
	most := d.frame + frameOverhead + finalExtra
	if err := d.fill(frameHead+finalExtra, most); err != nil {
		return 0, err
	}
	h, err := parseHead(d.buf[d.r:d.n], d.seq, d.frame)
	if err != nil {
		return 0, err
	}
	if d.total += int64(h.n); d.total > d.most {
		return 0, fail(ErrLimit, "plaintext of the stream")
	}
	size := h.size + h.n + gcmTag
	if err := d.fill(size, most); err != nil {
		return 0, err
	}
	if d.n-d.r < size {
		return 0, &Error{Kind: ErrTruncated, Frame: int64(d.seq)}
	}
	b := d.buf[d.r : d.r+size]
	if d.sum != nil {
		d.sum.Write(b)
	}
	sealed := b[h.size:]
	iv := b[4:frameHead] // h.iv may be of memory that fill has moved since
	if h.last {
		iv = b[8 : 8+gcmNonce]
	}
	dst := sealed[:0]
	direct := len(p) >= h.n && !h.last // what follows the final frame may refuse it
	if direct {
		dst = p[:0:h.n]
	}
	plain, err := d.w.f.open(dst, iv, sealed, d.seq, h.last)
	if err != nil {
		return 0, err
	}
	d.r += size
	if h.last {
		if err := d.checkEnd(); err != nil {
			return 0, err
		}
		d.done = true
	} else if d.seq == maxFrames {
		return 0, fail(ErrMalformed, "no final frame")
	}
	if direct {
		return h.n, nil
	}
	d.plain = plain
	return 0, nil
}

// checkEnd reads what follows the final frame, apart from the buffer that
// holds it.
func (d *Reader) checkEnd() error {
	rest := append(make([]byte, 0, maxFooter+1), d.buf[d.r:min(d.n, d.r+maxFooter+1)]...)
	for idle := 0; len(rest) < cap(rest) && !d.end; idle++ {
		if d.verifier == nil && len(rest) > 0 {
			break
		}
		k, err := readSome(d.ctx, d.src, rest[len(rest):cap(rest)])
		rest = rest[:len(rest)+k]
		if k > 0 {
			idle = 0
		}
		if d.end = err == io.EOF; d.end { //nolint:errorlint // the io.Reader contract
			err = nil
		} else if err == nil && idle == maxIdle {
			err = io.ErrNoProgress
		}
		if err != nil {
			return err
		}
	}
	if d.verifier != nil {
		return checkFooter(d.verifier, d.sum.Sum(nil), rest)
	}
	if len(rest) > 0 {
		return fail(ErrTrailing, "")
	}
	return nil
}

// block opens a body that is a single block, all at once.
func (d *Reader) block(h *header, most int64) error {
	overhead := gcmNonce + 8 + gcmTag + maxFooter + 1
	messageID := append([]byte(nil), h.messageID...)
	limit := int(min(most, 1<<40, int64(math.MaxInt-overhead))) + overhead
	if err := d.fill(limit, limit); err != nil {
		return err
	}
	body := d.buf[d.r:d.n]
	plain, rest, err := openUnframed(d.w.content.aead, messageID, nil, body, min(most, d.most))
	if err != nil {
		return err
	}
	o := opened{d.verifier, d.sum}
	if err := o.checkEnd(body[:len(body)-len(rest)], rest); err != nil {
		clear(plain)
		return err
	}
	d.plain, d.done = plain, true
	return nil
}

func (d *Reader) wipe() {
	clear(d.buf)
	clear(d.plain)
	d.buf, d.plain, d.w = nil, nil, work{}
}

// Read implements [io.Reader].
func (d *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.plain) == 0 {
		n := d.next(p)
		if d.err != nil {
			return 0, d.err
		}
		if n > 0 {
			return n, nil
		}
	}
	n := copy(p, d.plain)
	d.plain = d.plain[n:]
	return n, nil
}

// WriteTo implements [io.WriterTo]: frame by frame, without a copy. An error
// of w is returned and leaves the reader usable.
func (d *Reader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		for len(d.plain) > 0 {
			k, err := w.Write(d.plain)
			if k < 0 || k > len(d.plain) {
				return n, at("open", fail(ErrMalformed, "a writer wrote %d of %d bytes", k, len(d.plain)))
			}
			if n += int64(k); err == nil && k < len(d.plain) {
				err = io.ErrShortWrite
			}
			if d.plain = d.plain[k:]; err != nil {
				return n, err
			}
		}
		if d.next(nil); d.err == io.EOF { //nolint:errorlint // made here
			return n, nil
		} else if d.err != nil {
			return n, d.err
		}
	}
}
