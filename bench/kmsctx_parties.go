package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/minio/sio"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// benchSession never ends.
type benchSession struct{ id tenant.SessionID }

func (s benchSession) ID() tenant.SessionID { return s.id }
func (benchSession) Expires() time.Time     { return time.Now().Add(time.Hour) }
func (benchSession) Err() error             { return nil }

func ourParties(ctx context.Context) (map[string]party, error) {
	tn := tenant.NewID()
	ec, err := kmsctx.NewContext(map[string]string{"tenant": tn.String(), "purpose": "bench"})
	if err != nil {
		return nil, err
	}
	ring, err := kmsctx.NewRawAES("bench", "key", tenant.NewSecret(random(kmsctx.DataKeyLen)))
	if err != nil {
		return nil, err
	}
	cache, err := kmsctx.NewCache(kmsctx.CachePolicy{MaxAge: time.Hour, MaxMessages: 1 << 32, MaxBytes: 1 << 50})
	if err != nil {
		return nil, err
	}
	cached, err := cache.Keyring(kmsctx.Partition{Tenant: tn, Key: "key", Session: benchSession{tenant.NewSessionID()}}, ring)
	if err != nil {
		return nil, err
	}
	out := map[string]party{}
	for name, o := range map[string]kmsctx.Options{
		"one core":       {Workers: 1, MaxStream: 1 << 30},
		"two cores":      {Workers: 2, MaxStream: 1 << 30},
		"4KiB frames":    {FrameLength: 4 << 10, MaxStream: 1 << 30},
		"4KiB, one core": {FrameLength: 4 << 10, Workers: 1, MaxStream: 1 << 30},
	} {
		env, err := kmsctx.New(cached, &o)
		if err != nil {
			return nil, err
		}
		who := "kmsctx"
		if !strings.HasSuffix(name, "one core") { // by CPU time, like the peers
			who += ", " + name
		}
		out[name] = party{
			name:   who,
			seal:   func(dst, in []byte) ([]byte, error) { return env.Seal(ctx, dst, in, ec) },
			open:   func(dst, in []byte) ([]byte, error) { return env.Open(ctx, dst, in, ec) },
			writer: func(w io.Writer) (io.WriteCloser, error) { return env.NewWriter(ctx, w, ec) },
			reader: func(r io.Reader) (io.Reader, error) { return env.NewReader(ctx, r, ec) },
			readerAt: func(m []byte) (io.ReaderAt, error) {
				return env.NewReaderAt(ctx, bytes.NewReader(m), int64(len(m)), ec)
			},
		}
	}
	return out, nil
}

func kmsctxPeers() ([]party, error) {
	var out []party
	for _, f := range []func() (party, error){rawParty, tinkAEAD, tinkStreaming, sioParty, ageParty} {
		p, err := f()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// rawFrames opens the frame of 64 KiB that holds the bytes, each sealed alone.
type rawFrames struct {
	gcm    cipher.AEAD
	sealed [][]byte
	nonce  []byte
	buf    []byte
}

func (r *rawFrames) ReadAt(p []byte, off int64) (int, error) {
	i, at := off>>16, off&(1<<16-1)
	plain, err := r.gcm.Open(r.buf[:0], r.nonce, r.sealed[i], nil)
	if err != nil {
		return 0, err
	}
	return copy(p, plain[at:]), nil
}

// rawStream seals or opens pieces of 64 KiB under a counter and nothing else:
// no end, no order that a reader could check.
type rawStream struct {
	gcm cipher.AEAD
	w   io.Writer
	r   io.Reader
	n   uint64
	in  [1<<16 + 16]byte
	out []byte
}

func (s *rawStream) nonce(b *[12]byte) []byte {
	s.n++
	binary.BigEndian.PutUint64(b[4:], s.n)
	return b[:]
}

func (s *rawStream) Write(p []byte) (n int, err error) {
	for n < len(p) {
		k := min(len(p)-n, 1<<16)
		if err := s.seal(p[n : n+k]); err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

func (s *rawStream) seal(piece []byte) error {
	var b [12]byte
	s.out = s.gcm.Seal(s.out[:0], s.nonce(&b), piece, nil)
	_, err := s.w.Write(s.out)
	return err
}

func (s *rawStream) ReadFrom(r io.Reader) (total int64, err error) {
	for {
		n, err := io.ReadFull(r, s.in[:1<<16])
		if n > 0 {
			if err := s.seal(s.in[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

func (s *rawStream) Close() error { return nil }

func (s *rawStream) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (s *rawStream) WriteTo(w io.Writer) (total int64, err error) {
	for {
		n, err := io.ReadFull(s.r, s.in[:])
		if n > 0 {
			var b [12]byte
			plain, err := s.gcm.Open(s.in[:0], s.nonce(&b), s.in[:n], nil)
			if err != nil {
				return total, err
			}
			if _, err := w.Write(plain); err != nil {
				return total, err
			}
			total += int64(len(plain))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

func rawParty() (party, error) {
	block, err := aes.NewCipher(random(kmsctx.DataKeyLen))
	if err != nil {
		return party{}, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return party{}, err
	}
	nonce, aad, n := make([]byte, gcm.NonceSize()), random(64), uint32(0)
	return party{
		name: "raw",
		seal: func(dst, in []byte) ([]byte, error) {
			n++
			binary.BigEndian.PutUint32(nonce, n)
			return gcm.Seal(append(dst, nonce...), nonce, in, aad), nil
		},
		open: func(dst, in []byte) ([]byte, error) {
			return gcm.Open(dst, in[:len(nonce)], in[len(nonce):], aad)
		},
		writer: func(w io.Writer) (io.WriteCloser, error) { return &rawStream{gcm: gcm, w: w}, nil },
		reader: func(r io.Reader) (io.Reader, error) { return &rawStream{gcm: gcm, r: r}, nil },
		readerAt: func(m []byte) (io.ReaderAt, error) {
			plain, err := gcm.Open(nil, m[:len(nonce)], m[len(nonce):], aad)
			if err != nil {
				return nil, err
			}
			r := &rawFrames{gcm: gcm, nonce: bytes.Repeat([]byte{0xff}, len(nonce)), buf: make([]byte, 1<<16)}
			for len(plain) > 0 {
				k := min(len(plain), 1<<16)
				r.sealed = append(r.sealed, gcm.Seal(nil, r.nonce, plain[:k], nil))
				plain = plain[k:]
			}
			return r, nil
		},
	}, nil
}

func tinkAEAD() (party, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return party{}, err
	}
	a, err := aead.New(h)
	if err != nil {
		return party{}, err
	}
	aad := random(64)
	return party{
		name: "tink-aead",
		seal: func(_, in []byte) ([]byte, error) { return a.Encrypt(in, aad) },
		open: func(_, in []byte) ([]byte, error) { return a.Decrypt(in, aad) },
	}, nil
}

// streamed seals and opens by a library's streams.
func streamed(p party) party {
	p.seal = func(dst, in []byte) ([]byte, error) {
		b := bytes.NewBuffer(dst)
		w, err := p.writer(b)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(in); err != nil {
			return nil, err
		}
		err = w.Close()
		return b.Bytes(), err
	}
	p.open = func(dst, in []byte) ([]byte, error) {
		r, err := p.reader(bytes.NewReader(in))
		if err != nil {
			return nil, err
		}
		b := bytes.NewBuffer(dst)
		_, err = b.ReadFrom(r)
		return b.Bytes(), err
	}
	return p
}

func tinkStreaming() (party, error) {
	h, err := keyset.NewHandle(streamingaead.AES256GCMHKDF1MBKeyTemplate())
	if err != nil {
		return party{}, err
	}
	a, err := streamingaead.New(h)
	if err != nil {
		return party{}, err
	}
	aad := random(64)
	return streamed(party{
		name:   "tink-streaming",
		writer: func(w io.Writer) (io.WriteCloser, error) { return a.NewEncryptingWriter(w, aad) },
		reader: func(r io.Reader) (io.Reader, error) { return a.NewDecryptingReader(r, aad) },
	}), nil
}

func sioParty() (party, error) {
	c := sio.Config{Key: random(32), CipherSuites: []byte{sio.AES_256_GCM}}
	return streamed(party{
		name:   "sio",
		writer: func(w io.Writer) (io.WriteCloser, error) { return sio.EncryptWriter(nopCloser{w}, c) },
		reader: func(r io.Reader) (io.Reader, error) { return sio.DecryptReader(r, c) },
		readerAt: func(m []byte) (io.ReaderAt, error) {
			return sio.DecryptReaderAt(bytes.NewReader(m), c)
		},
	}), nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func ageParty() (party, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return party{}, err
	}
	return streamed(party{
		name:   "age",
		writer: func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, id.Recipient()) },
		reader: func(r io.Reader) (io.Reader, error) { return age.Decrypt(r, id) },
		readerAt: func(m []byte) (io.ReaderAt, error) {
			r, n, err := age.DecryptReaderAt(bytes.NewReader(m), int64(len(m)), id)
			if err == nil && n <= 0 {
				err = errors.New("no plaintext")
			}
			return r, err
		},
	}), nil
}
