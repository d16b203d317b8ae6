package audit

import (
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the Merkle tree over the lines, all hashes in memory: 64 bytes a
// record.
type tree struct {
	n      int64
	hashes []tlog.Hash
	prev   [32]byte
}

// ReadHashes serves tlog from memory.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("audit: no hash %d", x)
		}
		out[i] = t.hashes[x]
	}
	return out, nil
}

func (t *tree) add(line []byte) error {
	hs, err := tlog.StoredHashes(t.n, line, t)
	if err != nil {
		return err
	}
	t.hashes = append(t.hashes, hs...)
	t.n++
	t.prev = sha256.Sum256(line)
	return nil
}

func (t *tree) root() (tlog.Hash, error) { return tlog.TreeHash(t.n, t) }

// check is what a line must satisfy to be the next one.
func (t *tree) check(line []byte) (Event, error) {
	r, e, err := decodeRecord(line)
	if err != nil {
		return e, err
	}
	if r.Seq != t.n || r.Prev != fmt.Sprintf("%x", t.prev) {
		return e, fmt.Errorf("%w: record %d does not follow the one before it", ErrTampered, t.n)
	}
	return e, t.add(line)
}
