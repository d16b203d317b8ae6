package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// box seals and opens. dst may be reused by those whose interface can.
type box struct {
	name       string
	seal, open func(dst, in []byte) ([]byte, error)
}

const kmsctxIntro = "Ours writes and reads whole AWS Encryption SDK messages: a fresh data key each, HKDF, key commitment, frames of 64 KiB. " +
	"`crypto/cipher` is AES-256-GCM under one key with a random nonce and the same associated data, which is the floor: no data key of its own, no commitment, no format. " +
	"tink's envelope has a fresh data key too, and no key commitment or frames; its interface cannot reuse a buffer, which is most of its time at 16 MiB; the other two do. " +
	"Larger is better for MB/s, smaller for ns; the ratio is ours over the peer's."

func benchKmsctx(ctx context.Context, quick bool) (report, error) {
	boxes, err := sealers(ctx)
	if err != nil {
		return report{}, err
	}
	sizes, rounds, slice := []int{1 << 10, 64 << 10, 1 << 20, 16 << 20}, 15, 60*time.Millisecond
	if quick {
		sizes, rounds, slice = []int{1 << 10, 1 << 20}, 3, 20*time.Millisecond
	}
	rep := report{intro: kmsctxIntro}
	for _, op := range []string{"seal", "open"} {
		var speed, single []row
		for _, size := range sizes {
			cs, err := timed(boxes, op, size)
			if err != nil {
				return report{}, err
			}
			took, err := interleave(ctx, cs, rounds, slice)
			if err != nil {
				return report{}, err
			}
			mbs, ns := make([]float64, len(took)), make([]float64, len(took))
			for i, t := range took {
				mbs[i], ns[i] = float64(size)/1e6/t, t*1e9
			}
			rows, err := rowsOf(op+" "+sizeName(size), "MB/s", names(cs), mbs)
			if err != nil {
				return report{}, err
			}
			speed = append(speed, rows...)
			if size == 1<<10 {
				if single, err = rowsOf(op+" "+sizeName(size), "ns", names(cs), ns); err != nil {
					return report{}, err
				}
			}
		}
		rep.rows = append(append(rep.rows, speed...), single...)
		rep.charts = append(rep.charts, chart{op, op + ", MB/s of plaintext, more is better", speed})
	}
	return rep, nil
}

// timed makes the contenders of one operation and size, after each opened
// what it sealed and refused it with one bit changed.
func timed(boxes []box, op string, size int) (cs []contender, err error) {
	plain := make([]byte, size)
	_, _ = rand.Read(plain)
	for _, b := range boxes {
		sealed, err := b.seal(nil, plain)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
		back, err := b.open(nil, sealed)
		if err != nil || !bytes.Equal(back, plain) {
			return nil, fmt.Errorf("%s does not open what it sealed: %w", b.name, err)
		}
		bad := bytes.Clone(sealed)
		bad[len(bad)-1] ^= 1
		if _, err := b.open(nil, bad); err == nil {
			return nil, fmt.Errorf("%s opens what was altered", b.name)
		}
		do, in := b.seal, plain
		if op == "open" {
			do, in = b.open, sealed
		}
		buf := make([]byte, 0, len(sealed)+4<<10)
		cs = append(cs, contender{b.name, func(n int) error {
			for range n {
				if _, err := do(buf[:0], in); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	return cs, nil
}

func sealers(ctx context.Context) ([]box, error) {
	ec, err := kmsctx.NewContext(map[string]string{"tenant": tenant.NewID().String(), "purpose": "bench"})
	if err != nil {
		return nil, err
	}
	key := make([]byte, kmsctx.DataKeyLen)
	_, _ = rand.Read(key)
	ring, err := kmsctx.NewRawAES("bench", "key", tenant.NewSecret(bytes.Clone(key)))
	if err != nil {
		return nil, err
	}
	env, err := kmsctx.New(ring, nil)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	kek, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	var envelope tink.AEAD = aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), kek)
	aad := ec.Canonical()
	return []box{
		{"kmsctx, raw AES keyring",
			func(dst, in []byte) ([]byte, error) { return env.Seal(ctx, dst, in, ec) },
			func(dst, in []byte) ([]byte, error) { return env.Open(ctx, dst, in, ec) }},
		{"crypto/cipher AES-256-GCM",
			func(dst, in []byte) ([]byte, error) { return gcm.Seal(dst, nil, in, aad), nil },
			func(dst, in []byte) ([]byte, error) { return gcm.Open(dst, nil, in, aad) }},
		{"tink-go " + version("github.com/tink-crypto/tink-go/v2") + " envelope",
			func(_, in []byte) ([]byte, error) { return envelope.Encrypt(in, aad) },
			func(_, in []byte) ([]byte, error) { return envelope.Decrypt(in, aad) }},
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

func sizeName(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
