package fas

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"
)

// messages is the number of whole calls at the beginning of a stream.
func messages(b []byte) (n int) {
	for len(b) >= 4 {
		size := binary.BigEndian.Uint32(b)
		if size > maxMessage || uint64(len(b)-4) < uint64(size) {
			return n
		}
		text, _, _ := bytes.Cut(b[4:4+size], []byte{0})
		if json.Unmarshal(text, new(call)) != nil {
			return n
		}
		b, n = b[4+size:], n+1
	}
	return n
}

// However a stream is cut into pieces, the same calls are read from it, and
// what is no call ends it; what was read leaves nothing in the buffer.
func FuzzFrames(f *testing.F) {
	one := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	f.Add([]byte{}, uint16(1))
	f.Add(one(`{"op":"version"}`), uint16(3))
	f.Add(bytes.Repeat(one(`{}`), 5), uint16(7))
	f.Add(append(one(`{"op":"x","request":{"ttl":1}}`), one(`[]`)...), uint16(2))
	f.Add([]byte{0, 0x10, 0, 1, '{', '}'}, uint16(1))
	f.Add(one(`{"op":"exchange"}`+"\x00sigv4\n\x00\x00"), uint16(5))
	f.Add(append(one(`{"sealed":"AAAA"}`), 0xff, 0xff, 0xff, 0xff), uint16(4096))
	f.Fuzz(func(t *testing.T, b []byte, piece uint16) {
		if len(b) > 1<<16 {
			return
		}
		a, peer := sockets(t)
		defer a.Close()
		go func() {
			defer peer.Close()
			for rest := b; len(rest) > 0; {
				n := min(len(rest), int(piece)+1)
				if _, err := peer.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		if err := a.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		s, got := newStream(a), 0
		for {
			if _, err := s.receive(new(call)); err != nil {
				break
			}
			got++
		}
		if want := messages(b); got != want {
			t.Fatalf("%d calls of %d in %q, cut by %d", got, want, b, int(piece)+1)
		}
		if left := s.buf[len(s.buf):cap(s.buf)]; len(bytes.Trim(left, "\x00")) > 0 && got > 0 && len(s.buf) == 0 {
			t.Fatalf("%q stays in the buffer", left)
		}
	})
}
