package embedded

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"

	"github.com/cloisterdev/cloister/retrieval"
)

// Snapshot is an open snapshot.
type Snapshot struct {
	file *os.File
	own  bool
	s    *sealer
	f    footer
}

// OpenFile opens a snapshot that must have the manifest. The file stays the
// caller's.
func OpenFile(file *os.File, b retrieval.Binding, manifest [32]byte, key []byte) (*Snapshot, error) {
	s, f, err := openFooter(file, b, manifest, key)
	if err != nil {
		return nil, err
	}
	return &Snapshot{file: file, s: s, f: f}, nil
}

// Close closes the file if the snapshot opened it.
func (s *Snapshot) Close() error {
	if s.own {
		return s.file.Close()
	}
	return nil
}

// Attachment reads a named blob.
func (s *Snapshot) Attachment(name string) ([]byte, error) {
	e, ok := s.f.Blobs[name]
	if !ok {
		return nil, fmt.Errorf("%w: no blob of that name", retrieval.ErrDamaged)
	}
	return (&pages{file: s.file, s: s.s, total: s.f.Pages}).read(e)
}

func (s *Snapshot) chunk(p *pages, id int) (m retrieval.Match, err error) {
	if id < 0 || id >= s.f.Chunks {
		return m, fmt.Errorf("%w: chunk", retrieval.ErrDamaged)
	}
	tab, err := p.read(extent{s.f.ChunkTab + 8*int64(id), 16})
	if err != nil {
		return m, err
	}
	from, to := int64(binary.BigEndian.Uint64(tab)), int64(binary.BigEndian.Uint64(tab[8:]))
	raw, err := p.read(extent{from, to - from})
	if err != nil {
		return m, err
	}
	d := decoder{b: raw}
	m.StartLine, m.EndLine = int(d.uvarint()), int(d.uvarint())
	m.Path, m.Text = string(d.bytes()), string(d.bytes())
	if d.bad {
		return m, fmt.Errorf("%w: chunk", retrieval.ErrDamaged)
	}
	return m, nil
}

// decoder reads length-prefixed values; running out is remembered.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > math.MaxInt64/4 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}
