package embedded

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"sort"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/retrieval"
)

const (
	// A term costs two reads at random places: small pages keep them cheap.
	pageSize  = 4 << 10
	overhead  = 16
	sealedLen = pageSize + overhead
	magic     = "CLSTRSEG2\n"
	saltLen   = 16
	// maxFooter bounds what is read before anything is authenticated.
	maxFooter = 64 << 10
	maxRange  = 1 << 30
)

// footer is the authenticated table of contents. Offsets are in the plaintext.
type footer struct {
	Pages    int64
	Chunks   int
	Docs     int
	Terms    int64
	AvgLen   float64
	ChunkTab int64 // 8 bytes a chunk, and one more
	Dict     int64 // dictEntry bytes a term, by hash
	Blobs    map[string]extent
}

type extent struct{ Off, Len int64 }

func (f footer) marshal() []byte {
	var b []byte
	for _, v := range []int64{f.Pages, int64(f.Chunks), int64(f.Docs), f.Terms, f.ChunkTab, f.Dict, int64(len(f.Blobs))} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(f.AvgLen))
	names := make([]string, 0, len(f.Blobs))
	for n := range f.Blobs {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		b = binary.AppendUvarint(b, uint64(len(n)))
		b = append(b, n...)
		b = binary.AppendUvarint(b, uint64(f.Blobs[n].Off))
		b = binary.AppendUvarint(b, uint64(f.Blobs[n].Len))
	}
	return b
}

func (f *footer) unmarshal(b []byte) error {
	d := decoder{b: b}
	f.Pages, f.Chunks, f.Docs, f.Terms = int64(d.uvarint()), int(d.uvarint()), int(d.uvarint()), int64(d.uvarint())
	f.ChunkTab, f.Dict = int64(d.uvarint()), int64(d.uvarint())
	n := d.uvarint()
	if f.AvgLen = math.Float64frombits(d.uint64()); math.IsNaN(f.AvgLen) || f.AvgLen < 0 {
		d.bad = true
	}
	f.Blobs = map[string]extent{}
	for ; n > 0 && !d.bad; n-- {
		name := string(d.bytes())
		f.Blobs[name] = extent{int64(d.uvarint()), int64(d.uvarint())}
	}
	if d.bad || len(d.b) != 0 || f.Chunks > maxChunks {
		return fmt.Errorf("%w: footer", retrieval.ErrDamaged)
	}
	return nil
}

type sealer struct {
	aead cipher.AEAD
	aad  []byte
	salt []byte
}

// newSealer derives the file's own key. The salt is the file's: a page number
// is a nonce, and a snapshot that is written a second time after a crash must
// not use the same nonces with the same key.
func newSealer(b retrieval.Binding, key, salt []byte) (*sealer, error) {
	ec, err := b.Context("snapshot-pages")
	if err != nil {
		return nil, err
	}
	k, err := kmsctx.SegmentKey(key, ec, "pages/"+hex.EncodeToString(salt))
	if err != nil {
		return nil, err
	}
	defer clear(k)
	blk, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	a, err := cipher.NewGCM(blk)
	return &sealer{a, ec.Canonical(), salt}, err
}

func newSalt() []byte {
	b := make([]byte, saltLen)
	_, _ = rand.Read(b)
	return b
}

// footerPage is a number that no page has.
const footerPage = 1<<63 - 1

func (s *sealer) nonce(page int64) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[4:], uint64(page))
	return n
}

func (s *sealer) seal(dst, plain []byte, page int64) []byte {
	return s.aead.Seal(dst, s.nonce(page), plain, s.aad)
}

func (s *sealer) open(dst, sealed []byte, page int64) ([]byte, error) {
	var n [12]byte
	binary.BigEndian.PutUint64(n[4:], uint64(page))
	out, err := s.aead.Open(dst, n[:], sealed, s.aad)
	if err != nil {
		return nil, fmt.Errorf("%w: page %d", retrieval.ErrDamaged, page)
	}
	return out, nil
}

// pageWriter writes a byte stream as sealed pages of full size.
type pageWriter struct {
	s     *sealer
	w     io.Writer
	buf   []byte
	out   []byte
	pages int64
	off   int64
}

func (p *pageWriter) write(b []byte) error {
	p.off += int64(len(b))
	for len(b) > 0 {
		n := min(len(b), pageSize-len(p.buf))
		p.buf = append(p.buf, b[:n]...)
		b = b[n:]
		if len(p.buf) == pageSize {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pageWriter) flush() error {
	p.out = p.s.seal(p.out[:0], p.buf, p.pages)
	clear(p.buf)
	p.buf, p.pages = p.buf[:0], p.pages+1
	_, err := p.w.Write(p.out)
	return err
}

// finish pads the last page, writes the footer and returns the manifest.
func (p *pageWriter) finish(f footer) (manifest [32]byte, err error) {
	if len(p.buf) > 0 {
		p.buf = append(p.buf, make([]byte, pageSize-len(p.buf))...)
		if err := p.flush(); err != nil {
			return manifest, err
		}
	}
	f.Pages = p.pages
	end := p.s.seal(nil, f.marshal(), footerPage)
	if len(end) > maxFooter {
		return manifest, retrieval.ErrLimit
	}
	end = append(end, p.s.salt...)
	manifest = sha256.Sum256(end)
	end = binary.BigEndian.AppendUint32(end, uint32(len(end)))
	_, err = p.w.Write(append(end, magic...))
	return manifest, err
}

// openFooter reads the end of the file: sealed footer, salt, their length and
// the magic. The manifest is the digest of the first two.
func openFooter(file *os.File, b retrieval.Binding, manifest [32]byte, key []byte) (s *sealer, f footer, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, f, err
	}
	const tailLen = 4 + len(magic)
	end := make([]byte, min(info.Size(), 1<<10))
	if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil {
		return nil, f, err
	}
	none := fmt.Errorf("%w: no footer", retrieval.ErrDamaged)
	if len(end) < tailLen || string(end[len(end)-len(magic):]) != magic {
		return nil, f, none
	}
	n := int(binary.BigEndian.Uint32(end[len(end)-tailLen:]))
	if n < overhead+saltLen || n > maxFooter+saltLen || int64(n+tailLen) > info.Size() {
		return nil, f, none
	}
	if n+tailLen > len(end) {
		end = make([]byte, n+tailLen)
		if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil {
			return nil, f, err
		}
	}
	end = end[len(end)-tailLen-n : len(end)-tailLen]
	if sha256.Sum256(end) != manifest {
		return nil, f, retrieval.ErrManifest
	}
	if s, err = newSealer(b, key, end[n-saltLen:]); err != nil {
		return nil, f, err
	}
	plain, err := s.open(nil, end[:n-saltLen], footerPage)
	if err != nil {
		return nil, f, err
	}
	if err := f.unmarshal(plain); err != nil {
		return nil, f, err
	}
	if info.Size() != f.Pages*sealedLen+int64(n+tailLen) {
		return nil, f, fmt.Errorf("%w: the length is not the footer's", retrieval.ErrDamaged)
	}
	return s, f, nil
}

// pages reads plaintext ranges and keeps the pages of one query.
type pages struct {
	file  *os.File
	s     *sealer
	total int64
	have  map[int64][]byte
}

// read returns a plaintext range, which the caller must not change.
func (p *pages) read(e extent) ([]byte, error) {
	if e.Off < 0 || e.Len < 0 || e.Len > maxRange || e.Off > p.total*pageSize-e.Len {
		return nil, fmt.Errorf("%w: a range outside the file", retrieval.ErrDamaged)
	}
	first, last := e.Off/pageSize, (e.Off+max(e.Len, 1)-1)/pageSize
	from := e.Off - first*pageSize
	if first == last {
		b, err := p.page(first)
		if err != nil {
			return nil, err
		}
		return b[from : from+e.Len], nil
	}
	// One read for the whole range; each page is opened where it lies and
	// moved down over the tags before it.
	sealed := make([]byte, (last-first+1)*sealedLen)
	if _, err := p.file.ReadAt(sealed, first*sealedLen); err != nil {
		return nil, fmt.Errorf("%w: pages %d to %d", retrieval.ErrDamaged, first, last)
	}
	for n := first; n <= last; n++ {
		at := (n - first) * sealedLen
		b, err := p.s.open(sealed[at:at:at+sealedLen], sealed[at:at+sealedLen], n)
		if err != nil {
			return nil, err
		}
		copy(sealed[(n-first)*pageSize:], b)
	}
	return sealed[from : from+e.Len], nil
}

func (p *pages) page(n int64) ([]byte, error) {
	if b, ok := p.have[n]; ok {
		return b, nil
	}
	sealed := make([]byte, sealedLen)
	if _, err := p.file.ReadAt(sealed, n*sealedLen); err != nil {
		return nil, fmt.Errorf("%w: page %d", retrieval.ErrDamaged, n)
	}
	b, err := p.s.open(sealed[:0], sealed, n)
	if err == nil && p.have != nil {
		p.have[n] = b
	}
	return b, err
}
