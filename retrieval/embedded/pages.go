package embedded

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/retrieval"
)

const (
	pageSize  = 16 << 10
	overhead  = 16
	sealedLen = pageSize + overhead
	magic     = "CLSTRSEG1\n"
	// maxFooter bounds what is read before anything is authenticated.
	maxFooter = 64 << 20
)

// footer is the authenticated table of contents. Offsets are in the plaintext.
type footer struct {
	Pages    int64             `json:"pages"`
	Chunks   int               `json:"chunks"`
	AvgLen   float64           `json:"avg"`
	ChunkTab int64             `json:"chunk_tab"` // 8 bytes a chunk
	Dict     []block           `json:"dict"`
	Blobs    map[string]extent `json:"blobs"`
	Docs     int               `json:"docs"`
}

type extent struct {
	Off int64 `json:"o"`
	Len int64 `json:"l"`
}

// block is a run of the sorted dictionary.
type block struct {
	First string `json:"f"`
	extent
}

type sealer struct {
	aead cipher.AEAD
	aad  []byte
}

func newSealer(b retrieval.Binding, key []byte) (*sealer, error) {
	ec, err := b.Context("snapshot-pages")
	if err != nil {
		return nil, err
	}
	k, err := kmsctx.SegmentKey(key, ec, "pages")
	if err != nil {
		return nil, err
	}
	defer clear(k)
	blk, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	a, err := cipher.NewGCM(blk)
	return &sealer{a, ec.Canonical()}, err
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
	out, err := s.aead.Open(dst, s.nonce(page), sealed, s.aad)
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
	b, err := json.Marshal(f)
	if err != nil {
		return manifest, err
	}
	sealed := p.s.seal(nil, b, footerPage)
	tail := binary.BigEndian.AppendUint64(nil, uint64(len(sealed)))
	for _, x := range [][]byte{sealed, tail, []byte(magic)} {
		if _, err := p.w.Write(x); err != nil {
			return manifest, err
		}
	}
	return sha256.Sum256(sealed), nil
}

func readFooter(file *os.File, s *sealer, manifest [32]byte) (f footer, err error) {
	info, err := file.Stat()
	if err != nil {
		return f, err
	}
	const tailLen = int64(8 + len(magic))
	if info.Size() < tailLen {
		return f, fmt.Errorf("%w: no footer", retrieval.ErrDamaged)
	}
	tail := make([]byte, tailLen)
	if _, err := file.ReadAt(tail, info.Size()-tailLen); err != nil {
		return f, err
	}
	n := int64(binary.BigEndian.Uint64(tail))
	if string(tail[8:]) != magic || n < overhead || n > maxFooter || n > info.Size()-tailLen {
		return f, fmt.Errorf("%w: no footer", retrieval.ErrDamaged)
	}
	sealed := make([]byte, n)
	if _, err := file.ReadAt(sealed, info.Size()-tailLen-n); err != nil {
		return f, err
	}
	if sha256.Sum256(sealed) != manifest {
		return f, retrieval.ErrManifest
	}
	b, err := s.open(nil, sealed, footerPage)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil || f.Chunks < 0 || f.Pages < 0 {
		return f, fmt.Errorf("%w: footer", retrieval.ErrDamaged)
	}
	if info.Size() != f.Pages*sealedLen+n+tailLen {
		return f, fmt.Errorf("%w: the length is not the footer's", retrieval.ErrDamaged)
	}
	return f, nil
}

// pages reads plaintext ranges and keeps the pages of one query.
type pages struct {
	file  *os.File
	s     *sealer
	total int64
	have  map[int64][]byte
}

func (p *pages) read(e extent) ([]byte, error) {
	if e.Off < 0 || e.Len < 0 || e.Len > maxFooter*4 || e.Off+e.Len > p.total*pageSize {
		return nil, fmt.Errorf("%w: a range outside the file", retrieval.ErrDamaged)
	}
	first, last := e.Off/pageSize, (e.Off+max(e.Len, 1)-1)/pageSize
	out := make([]byte, 0, (last-first+1)*pageSize)
	for n := first; n <= last; n++ {
		b, ok := p.have[n]
		if !ok {
			sealed := make([]byte, sealedLen)
			if _, err := p.file.ReadAt(sealed, n*sealedLen); err != nil {
				return nil, fmt.Errorf("%w: page %d", retrieval.ErrDamaged, n)
			}
			var err error
			if b, err = p.s.open(sealed[:0], sealed, n); err != nil {
				return nil, err
			}
			if p.have != nil {
				p.have[n] = b
			}
		}
		out = append(out, b...)
	}
	from := e.Off - first*pageSize
	return out[from : from+e.Len], nil
}
