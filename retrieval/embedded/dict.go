package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/cloisterdev/cloister/retrieval"
)

// dictEntry is one term of the dictionary. The dictionary is an array sorted by
// the term's hash: hashes are spread evenly, so the place of a term is guessed
// to within a page, and nothing of it has to be read when a snapshot is opened.
type dictEntry struct {
	hash uint64
	df   int
	at   extent
	post []byte // while it is written
}

const dictLen = 8 + 4 + 6 + 4

// hashTerm is short: two terms of one collection that share it would share a
// place in the ranking, which happens once in 2^64/terms² collections.
func hashTerm(t string) uint64 {
	h := sha256.Sum256([]byte(t))
	return binary.BigEndian.Uint64(h[:])
}

func (e *dictEntry) marshal() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, dictLen+2), e.hash)
	b = binary.BigEndian.AppendUint32(b, uint32(e.df))
	b = binary.BigEndian.AppendUint64(b, uint64(e.at.Off)<<16)
	return binary.BigEndian.AppendUint32(b[:18], uint32(e.at.Len))
}

func unmarshalEntry(b []byte) dictEntry {
	return dictEntry{hash: binary.BigEndian.Uint64(b), df: int(binary.BigEndian.Uint32(b[8:])), at: extent{
		Off: int64(binary.BigEndian.Uint64(b[10:]) & (1<<48 - 1)), Len: int64(binary.BigEndian.Uint32(b[18:]))}}
}

// lookup finds a term's entry; df is 0 when there is none.
func (s *Snapshot) lookup(p *pages, t string) (dictEntry, error) {
	want := hashTerm(t)
	lo, hi := int64(0), s.f.Terms // the entry is in [lo, hi)
	hiWord, _ := bits.Mul64(want, uint64(s.f.Terms))
	at := int64(hiWord)
	for lo < hi {
		// Look at as many whole entries around the guess as one page holds.
		off := s.f.Dict + at*dictLen
		page := off / pageSize
		from := max(lo, (page*pageSize-s.f.Dict+dictLen-1)/dictLen)
		to := min(hi, ((page+1)*pageSize-s.f.Dict)/dictLen)
		if from >= to { // the entry lies across two pages
			from, to = at, at+1
		}
		raw, err := p.read(extent{s.f.Dict + from*dictLen, (to - from) * dictLen})
		if err != nil {
			return dictEntry{}, err
		}
		first, last := binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[len(raw)-dictLen:])
		switch {
		case want < first:
			hi, at = from, from-1
		case want > last:
			lo, at = to, to
		default:
			return search(raw, want)
		}
	}
	return dictEntry{}, nil
}

func search(raw []byte, want uint64) (dictEntry, error) {
	lo, hi := 0, len(raw)/dictLen
	for lo < hi {
		mid := (lo + hi) / 2
		if binary.BigEndian.Uint64(raw[mid*dictLen:]) < want {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if e := unmarshalEntry(raw[lo*dictLen:]); e.hash == want {
		if e.df == 0 {
			return e, fmt.Errorf("%w: dictionary", retrieval.ErrDamaged)
		}
		return e, nil
	}
	return dictEntry{}, nil
}
