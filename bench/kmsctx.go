package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// party is one of those compared. What its library cannot do is nil; dst may
// be reused by those whose interface can.
type party struct {
	name       string
	seal, open func(dst, in []byte) ([]byte, error)
	writer     func(w io.Writer) (io.WriteCloser, error)
	reader     func(r io.Reader) (io.Reader, error)
	readerAt   func(message []byte) (io.ReaderAt, error)
}

func kmsctxIntro(esdk bool, left string) string {
	s := "Ours writes and reads whole AWS Encryption SDK messages on one core: HKDF, key commitment and a key of its own for every message, frames of 64 KiB, buffers reused, the data key from a cache. " +
		"`raw` is one pass of AES-256-GCM of crypto/cipher over the same bytes under one key, which is the floor; for streams it reads, seals and writes pieces of 64 KiB, besides the one pass, which no stream reaches, as each copies its source once; for `readat` it opens the one piece that holds the bytes. " +
		"`tink-aead` and `tink-streaming` are tink-go " + version("github.com/tink-crypto/tink-go/v2") + " (AES256_GCM, AES256_GCM_HKDF_1MB), `sio` is minio/sio " + version("github.com/minio/sio") +
		" (AES-256-GCM), `age` is filippo.io/age " + version("filippo.io/age") + " (X25519, ChaCha20-Poly1305); none of the four is given a fresh key by a key service. Interfaces that cannot reuse a buffer do not. "
	if esdk {
		s += "`esdk-go` is the official SDK " + version("github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk") + " with the same suite and a raw AES keyring; in rows named -4KiB both write frames of its own default length, and ours uses as many cores as it would unasked; those named -4KiB-cpu are the same on one core, by CPU time. "
	} else {
		s += "`-tags esdk` adds the official Go SDK, whose build takes minutes. "
	}
	if left == "" {
		s += "`esdk-python` is the fastest of the official SDKs, with the same suite, frames of 64 KiB and a raw AES keyring: its process seals and opens in memory and says what CPU time that took, its start left out. "
	} else {
		s += "Here " + left + ". "
	}
	return s + "Measured is " + cpuClock + ", but time where more than one core works. Larger is better for MB/s, smaller for ns; the ratio is ours over the peer's."
}

// measured is one row's contenders.
type measured struct {
	name, unit string
	size       int
	waited     bool // by time, as several cores work
	cs         []contender
}

func benchKmsctx(ctx context.Context, quick bool) (report, error) {
	ours, err := ourParties(ctx)
	if err != nil {
		return report{}, err
	}
	peers, err := kmsctxPeers()
	if err != nil {
		return report{}, err
	}
	sdk, err := officialParty(ctx)
	if err != nil {
		return report{}, err
	}
	rounds, slice := 21, 60*time.Millisecond
	if quick {
		rounds, slice = 3, 10*time.Millisecond
	}
	rows, err := kmsctxRows(ours, peers, sdk, quick)
	if err != nil {
		return report{}, err
	}
	peer, left, err := newPython(os.Getenv(pythonVariable))
	if err != nil {
		return report{}, err
	}
	rep := report{intro: kmsctxIntro(sdk != nil, left), left: left}
	for _, m := range rows {
		now := cpuTime
		if m.waited {
			now = wallTime
		}
		took, err := interleaveBy(ctx, now, m.cs, rounds, slice)
		if err != nil {
			return report{}, err
		}
		values := make([]float64, len(took))
		for i, t := range took {
			if values[i] = t * 1e9; m.unit == "MB/s" {
				values[i] = float64(m.size) / 1e6 / t
			}
		}
		rs, err := rowsOf(m.name, m.unit, names(m.cs), values)
		if err != nil {
			return report{}, err
		}
		rep.rows = append(rep.rows, rs...)
	}
	if peer != nil {
		rs, err := peer.rows(ctx, ours["one core"], quick)
		if err != nil {
			return report{}, err
		}
		rep.rows = append(rep.rows, rs...)
	}
	var speed, latency []row
	for _, r := range rep.rows {
		if r.Unit == "MB/s" {
			speed = append(speed, r)
		} else {
			latency = append(latency, r)
		}
	}
	rep.charts = []chart{{"speed", "MB/s of plaintext, more is better", speed}, {"latency", "ns, less is better", latency}}
	return rep, nil
}

func kmsctxRows(ours map[string]party, peers []party, sdk *official, quick bool) (out []measured, err error) {
	one := append([]party{ours["one core"]}, peers...)
	if sdk != nil {
		one = append(one, sdk.party)
	}
	add := func(name, unit string, size int, ps []party, make func(p party, size int) (func(int) error, error)) {
		if err != nil {
			return
		}
		m := measured{name: name, unit: unit, size: size, waited: strings.HasPrefix(ps[0].name, "kmsctx, ")}
		for _, p := range ps {
			run, e := make(p, size)
			if errors.Is(e, errCannot) {
				continue
			}
			if e != nil {
				err = fmt.Errorf("%s, %s: %w", name, p.name, e)
				return
			}
			m.cs = append(m.cs, contender{p.name, run})
		}
		out = append(out, m)
	}
	add("seal/1KiB-cached", "ns", 1<<10, one, sealing)
	add("open/1KiB-cached", "ns", 1<<10, one, opening)
	add("seal/1MiB", "MB/s", 1<<20, one, sealing)
	add("open/1MiB", "MB/s", 1<<20, one, opening)
	add("readat/4KiB", "ns", 16<<20, one, readingAt)
	if quick {
		return out, err
	}
	add("seal/16MiB", "MB/s", 16<<20, one, sealing)
	add("open/16MiB", "MB/s", 16<<20, one, opening)
	add("writer/16MiB", "MB/s", 16<<20, one, writing)
	onePass(&out, one, sealing)
	add("writer/16MiB-Write", "MB/s", 16<<20, one, handing)
	onePass(&out, one, sealing)
	add("reader/16MiB", "MB/s", 16<<20, one, reading)
	onePass(&out, one, opening)
	add("seal/16MiB-2cores", "MB/s", 16<<20, []party{ours["two cores"], ours["one core"]}, sealing)
	add("open/16MiB-2cores", "MB/s", 16<<20, []party{ours["two cores"], ours["one core"]}, opening)
	if sdk != nil {
		short := []party{ours["4KiB frames"], sdk.withFrames(4 << 10)}
		add("seal/16MiB-4KiB", "MB/s", 16<<20, short, sealing)
		add("open/16MiB-4KiB", "MB/s", 16<<20, short, opening)
		// More cores flatter ours: theirs has one for the work, whatever it gets.
		alone := []party{ours["4KiB, one core"], short[1]}
		add("seal/16MiB-4KiB-cpu", "MB/s", 16<<20, alone, sealing)
		add("open/16MiB-4KiB-cpu", "MB/s", 16<<20, alone, opening)
	}
	return out, err
}

// onePass adds to the last row the floor that no stream has: the bytes lie in
// memory, and nothing is copied before it is sealed.
func onePass(rows *[]measured, ps []party, make func(p party, size int) (func(int) error, error)) {
	m := &(*rows)[len(*rows)-1]
	for _, p := range ps {
		if run, err := make(p, m.size); err == nil && p.name == "raw" {
			m.cs = append(m.cs, contender{"raw, one pass", run})
		}
	}
}

// errCannot says that a library has no such interface.
var errCannot = errors.New("not offered")

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// checked seals, and demands that it opens, and not with a bit changed.
func checked(p party, plain []byte) (sealed []byte, err error) {
	if p.seal == nil {
		return nil, errCannot
	}
	if sealed, err = p.seal(nil, plain); err != nil {
		return nil, err
	}
	back, err := p.open(nil, sealed)
	if err != nil || !bytes.Equal(back, plain) {
		return nil, fmt.Errorf("does not open what it sealed: %w", err)
	}
	bad := bytes.Clone(sealed)
	bad[len(bad)-1] ^= 1
	if _, err := p.open(nil, bad); err == nil {
		return nil, errors.New("opens what was altered")
	}
	return sealed, nil
}

func sealing(p party, size int) (func(int) error, error) {
	plain := random(size)
	sealed, err := checked(p, plain)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 0, len(sealed)+4<<10)
	return func(n int) error {
		for range n {
			if _, err := p.seal(buf, plain); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func opening(p party, size int) (func(int) error, error) {
	sealed, err := checked(p, random(size))
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 0, len(sealed)+4<<10)
	return func(n int) error {
		for range n {
			if _, err := p.open(buf, sealed); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// Neither side of a stream offers more than reading or writing, so that what
// is measured is the stream's own way.
type plainReader struct{ io.Reader }

type plainWriter struct{ io.Writer }

func writing(p party, size int) (func(int) error, error) {
	plain := random(size)
	if _, err := checked(p, plain[:1<<10]); err != nil {
		return nil, err
	}
	if p.writer == nil {
		return nil, errCannot
	}
	return func(n int) error {
		for range n {
			w, err := p.writer(plainWriter{io.Discard})
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, plainReader{bytes.NewReader(plain)}); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// handing is a caller that has the plaintext and writes it, a mebibyte at a
// time: nothing is copied before it is sealed.
func handing(p party, size int) (func(int) error, error) {
	if p.writer == nil {
		return nil, errCannot
	}
	plain := random(size)
	return func(n int) error {
		for range n {
			w, err := p.writer(plainWriter{io.Discard})
			if err != nil {
				return err
			}
			for rest := plain; len(rest) > 0; {
				k := min(len(rest), 1<<20)
				if _, err := w.Write(rest[:k]); err != nil {
					return err
				}
				rest = rest[k:]
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func reading(p party, size int) (func(int) error, error) {
	if p.reader == nil {
		return nil, errCannot
	}
	plain := random(size)
	var b bytes.Buffer
	w, err := p.writer(&b)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, err
	}
	r, err := p.reader(bytes.NewReader(b.Bytes()))
	if err != nil {
		return nil, err
	}
	var back bytes.Buffer
	if _, err := io.Copy(plainWriter{&back}, r); err != nil || !bytes.Equal(back.Bytes(), plain) {
		return nil, fmt.Errorf("the stream does not come back: %w", err)
	}
	return func(n int) error {
		for range n {
			r, err := p.reader(plainReader{bytes.NewReader(b.Bytes())})
			if err != nil {
				return err
			}
			if k, err := io.Copy(plainWriter{io.Discard}, r); err != nil || k != int64(size) {
				return fmt.Errorf("%d bytes: %w", k, err)
			}
		}
		return nil
	}, nil
}

const readAtLength = 4 << 10

func readingAt(p party, size int) (func(int) error, error) {
	if p.readerAt == nil {
		return nil, errCannot
	}
	plain := random(size)
	sealed, err := p.seal(nil, plain)
	if err != nil {
		return nil, err
	}
	r, err := p.readerAt(sealed)
	if err != nil {
		return nil, err
	}
	buf, off := make([]byte, readAtLength), int64(0)
	return func(n int) error {
		for range n {
			// Within a frame of 64 KiB, as an index of pages is laid out.
			off = (off + 1234567) % int64(size-readAtLength) / readAtLength * readAtLength
			if k, err := r.ReadAt(buf, off); k != len(buf) {
				return fmt.Errorf("%d bytes: %w", k, err)
			}
			if buf[0] != plain[off] || buf[len(buf)-1] != plain[int(off)+len(buf)-1] {
				return errors.New("other bytes than were sealed")
			}
		}
		return nil
	}, nil
}

// version is the version of a module in this binary.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == module {
				return d.Version
			}
		}
	}
	return "of unknown version"
}
