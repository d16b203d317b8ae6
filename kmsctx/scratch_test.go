package kmsctx

import (
	"bytes"
	"context"
	"testing"
)

// What a ReaderAt keeps for its next read holds no plaintext, nor does what it
// gives up, whatever spans a read had.
func TestReaderAtScratch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e, ec := rawEnvelope(t, nil)
	plain := bytes.Repeat([]byte("plaintext"), 200_000) // more than a span, and a rest
	m, err := e.Seal(ctx, nil, plain, ec)
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.NewReaderAt(ctx, bytes.NewReader(m), int64(len(m)), ec)
	if err != nil {
		t.Fatal(err)
	}
	s := d.scratch.New().(*frameScratch)
	var given [][]byte // all the memory that a read had
	d.scratch.New = func() any { return s }
	d.scratch.Get() // what opening left there
	for _, r := range [][2]int{{0, 10}, {0, len(plain)}, {1 << 20, len(plain) - 1<<20}, {len(plain) - 5, 5}} {
		p := make([]byte, r[1])
		given = append(given, s.buf[:cap(s.buf)])
		if _, err := d.ReadAt(p, int64(r[0])); err != nil || !bytes.Equal(p, plain[r[0]:r[0]+r[1]]) {
			t.Fatalf("%d: %v", r, err)
		}
		for _, b := range append(given, s.buf[:cap(s.buf)]) {
			if bytes.Contains(b, []byte("plaintext")) {
				t.Errorf("after reading %d bytes at %d there is plaintext", r[1], r[0])
			}
		}
	}
}
