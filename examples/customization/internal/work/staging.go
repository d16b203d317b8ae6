package work

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// ErrStaging is returned for a staging file that is not what a fetch worker
// of the same version of the same customization wrote, complete and in order.
var ErrStaging = errors.New("work: staging is damaged, incomplete or of another version")

const recordSize = 1 << 20

// binding names the one version that staging belongs to.
type binding struct {
	tenant        tenant.ID
	customization tenant.CustomizationID
	snapshot      tenant.SnapshotID
}

// recordContext binds a record to its version and its place, so that records
// can be neither moved, nor dropped, nor taken from another version.
func (b binding) recordContext(seq int, last bool) (kmsctx.Context, error) {
	return kmsctx.NewContext(map[string]string{
		"tenant": b.tenant.String(), "customization": b.customization.String(),
		"snapshot": b.snapshot.String(), "purpose": "staging",
		"seq": strconv.Itoa(seq), "last": strconv.FormatBool(last),
	})
}

func stagingEnvelope(key []byte) (*kmsctx.Envelope, error) {
	own := append([]byte(nil), key...)
	ring, err := kmsctx.NewRawAES("cloister", "staging", tenant.NewSecret(own))
	if err != nil {
		return nil, err
	}
	return kmsctx.New(ring, nil)
}

// stagingWriter seals a stream record by record.
type stagingWriter struct {
	ctx context.Context
	w   io.Writer
	env *kmsctx.Envelope
	b   binding
	buf []byte
	seq int
}

func newStagingWriter(ctx context.Context, w io.Writer, key []byte, b binding) (*stagingWriter, error) {
	env, err := stagingEnvelope(key)
	if err != nil {
		return nil, err
	}
	return &stagingWriter{ctx: ctx, w: w, env: env, b: b, buf: make([]byte, 0, recordSize)}, nil
}

func (s *stagingWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), recordSize-len(s.buf))
		s.buf = append(s.buf, p[:k]...)
		p = p[k:]
		if len(s.buf) == recordSize {
			if err := s.flush(false); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (s *stagingWriter) flush(last bool) error {
	ec, err := s.b.recordContext(s.seq, last)
	if err != nil {
		return err
	}
	msg, err := s.env.Seal(s.ctx, nil, s.buf, ec)
	if err != nil {
		return err
	}
	clear(s.buf)
	s.buf, s.seq = s.buf[:0], s.seq+1
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(msg)))
	if _, err := s.w.Write(n[:]); err != nil {
		return err
	}
	_, err = s.w.Write(msg)
	return err
}

// Close writes the record that says that nothing is missing.
func (s *stagingWriter) Close() error { return s.flush(true) }

// stagingReader opens what a stagingWriter sealed.
type stagingReader struct {
	ctx  context.Context
	r    io.Reader
	env  *kmsctx.Envelope
	b    binding
	buf  []byte
	seq  int
	last bool
}

func newStagingReader(ctx context.Context, r io.Reader, key []byte, b binding) (*stagingReader, error) {
	env, err := stagingEnvelope(key)
	if err != nil {
		return nil, err
	}
	return &stagingReader{ctx: ctx, r: r, env: env, b: b}, nil
}

func (s *stagingReader) Read(p []byte) (int, error) {
	for len(s.buf) == 0 {
		if s.last {
			return 0, s.end()
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

// end returns io.EOF if nothing follows the last record.
func (s *stagingReader) end() error {
	if _, err := io.ReadFull(s.r, make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("%w: it goes on after its last record", ErrStaging)
	}
	return io.EOF
}

func (s *stagingReader) next() error {
	var n [4]byte
	if _, err := io.ReadFull(s.r, n[:]); err != nil {
		return fmt.Errorf("%w: it ends without its last record", ErrStaging)
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > 2*recordSize {
		return fmt.Errorf("%w: a record of %d bytes", ErrStaging, size)
	}
	msg := make([]byte, size)
	if _, err := io.ReadFull(s.r, msg); err != nil {
		return fmt.Errorf("%w: a record is cut short", ErrStaging)
	}
	for _, last := range []bool{false, true} {
		ec, err := s.b.recordContext(s.seq, last)
		if err != nil {
			return err
		}
		if s.buf, err = s.env.Open(s.ctx, nil, msg, ec); err == nil {
			s.seq++
			s.last = last
			return nil
		}
	}
	return fmt.Errorf("%w: record %d does not open", ErrStaging, s.seq)
}

// eachFile calls f for every file of a staging stream, which it reads to its
// end: a stream without its last record is incomplete even if no file is.
func eachFile(r io.Reader, f func(path string, text []byte) error) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return damaged(err)
		}
		if h.Typeflag != tar.TypeReg || h.Size > MaxFile || !isFile(h.Name) {
			return fmt.Errorf("%w: it holds something else than files", ErrStaging)
		}
		text, err := io.ReadAll(tr)
		if err != nil {
			return damaged(err)
		}
		if err := f(h.Name, text); err != nil {
			return err
		}
	}
}

func damaged(err error) error {
	if errors.Is(err, ErrStaging) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStaging, err)
}
