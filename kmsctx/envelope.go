package kmsctx

import (
	"context"
	"crypto/ecdsa"
	"crypto/subtle"
	"hash"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Options say what an envelope writes and what it accepts. The zero value is
// the default, and the strictest in everything that is a matter of trust.
type Options struct {
	// FrameLength is the plaintext of a frame when sealing, in bytes. Zero
	// means 64 KiB; at most 16 MiB.
	FrameLength int
	// Suite is what is written. Both suites are read.
	Suite Suite
	// RefuseSigned refuses to read signed messages. A stream of one releases
	// its frames, each verified, before the signature over all of them is seen.
	RefuseSigned bool

	// MaxPlaintext is the largest plaintext that Seal and Open take, in bytes.
	// Zero means 64 MiB.
	MaxPlaintext int
	// MaxStream is the largest plaintext of a stream or a random-access
	// reader, in bytes. Zero means what the format can carry.
	MaxStream int64
	// MaxEncryptedKeys is how many encrypted data keys a message may carry,
	// written or read. Zero means 4.
	MaxEncryptedKeys int
	// MaxHeader is the longest header accepted, in bytes. Zero means 64 KiB; at
	// most 1 GiB.
	MaxHeader int
	// MaxFrame is the longest frame accepted when reading, in bytes of
	// plaintext. Zero means 16 MiB; at most 1 GiB.
	MaxFrame int

	// RequiredKeys are keys that every context must have, both of what is
	// sealed and of what a reader expects.
	RequiredKeys []string
	// Withheld are keys whose pairs are authenticated and not stored: a
	// message does not name them, and opens only for who knows their values.
	// A reader needs the same list. What is sealed must have them all.
	Withheld []string
	// Subset accepts a message whose context has more pairs than the reader
	// expects. Without it both must be equal.
	Subset bool

	// AllowUnframed also reads messages whose body is a single block, as some
	// implementations write. A stream holds such a body in memory, up to
	// MaxPlaintext.
	AllowUnframed bool
	// AllowRewrap permits [Envelope.Rewrap], whose documentation says what it
	// costs.
	AllowRewrap bool

	// Workers is how many goroutines seal or open a message of 512 KiB or
	// more. Zero means one a processor, at most 4.
	Workers int
}

const (
	maxFrame   = 16 << 20
	maxWorkers = 64
	// maxLimit bounds the limits: what is added to them stays within 32 bits.
	maxLimit    = 1 << 30
	parallelMin = 512 << 10
)

// Envelope seals and opens messages with one keyring. It is safe for
// concurrent use.
type Envelope struct {
	ring     Keyring
	o        Options
	l        limits
	withheld map[string]bool
}

// New makes an envelope. It refuses a nil keyring with [ErrMalformed], an option
// out of range with [ErrLimit], an unknown suite with [ErrUnsupported], and a
// required or withheld key that no context can have with [ErrContext]. The error
// names the option. A nil opts means the defaults.
func New(ring Keyring, opts *Options) (*Envelope, error) {
	if ring == nil {
		return nil, at("new", fail(ErrMalformed, "no keyring"))
	}
	o := Options{}
	if opts != nil {
		o = *opts
	}
	for _, d := range []struct {
		name string
		v    *int
		zero int
		most int
	}{
		{"FrameLength", &o.FrameLength, 64 << 10, maxFrame},
		{"MaxPlaintext", &o.MaxPlaintext, 64 << 20, math.MaxInt},
		{"MaxEncryptedKeys", &o.MaxEncryptedKeys, 4, maxWire},
		{"MaxHeader", &o.MaxHeader, 64 << 10, maxLimit},
		{"MaxFrame", &o.MaxFrame, maxFrame, maxLimit},
		{"Workers", &o.Workers, min(runtime.GOMAXPROCS(0), 4), maxWorkers},
	} {
		if *d.v == 0 {
			*d.v = d.zero
		}
		if *d.v < 0 || *d.v > d.most {
			return nil, at("new", fail(ErrLimit, "option %s is %d, accepted are 0 to %d", d.name, *d.v, d.most))
		}
	}
	if o.MaxStream == 0 {
		o.MaxStream = math.MaxInt64
	}
	if o.MaxStream < 0 {
		return nil, at("new", fail(ErrLimit, "option MaxStream is %d, which is negative", o.MaxStream))
	}
	if o.Suite == 0 {
		o.Suite = Committing
	}
	if !o.Suite.known() {
		return nil, at("new", fail(ErrUnsupported, "suite %v", o.Suite))
	}
	e := &Envelope{ring, o, limits{o.MaxEncryptedKeys, o.MaxHeader, o.MaxFrame, o.AllowUnframed}, map[string]bool{}}
	e.o.RequiredKeys, e.o.Withheld = slices.Clone(o.RequiredKeys), nil
	for _, list := range []struct {
		name string
		keys []string
	}{{"RequiredKeys", o.RequiredKeys}, {"Withheld", o.Withheld}} {
		for _, k := range list.keys {
			if k == "" || strings.HasPrefix(k, reserved) {
				return nil, at("new", fail(ErrContext, "option %s has a key that is empty or reserved", list.name))
			}
		}
	}
	for _, k := range o.Withheld {
		e.withheld[k] = true
	}
	return e, nil
}

// accepts checks a context that a caller gives.
func (e *Envelope) accepts(ec Context) error {
	if ec.IsZero() {
		return fail(ErrContext, "none given")
	}
	for _, k := range e.o.RequiredKeys {
		if _, ok := ec.pairs[k]; !ok {
			return fail(ErrContext, "a required key is missing")
		}
	}
	return nil
}

// writes is accepts for a message that is made: a withheld key that the context
// has not was meant for another pair, which would be stored.
func (e *Envelope) writes(ec Context) error {
	if err := e.accepts(ec); err != nil {
		return err
	}
	for k := range e.withheld {
		if _, ok := ec.pairs[k]; !ok {
			return fail(ErrContext, "it lacks the withheld key %q", k)
		}
	}
	return nil
}

// work is the scratch space of one message, or of one goroutine of one.
type work struct {
	content contentKeys
	f       framer
	zero    [gcmNonce]byte // the IV of every header
}

var works = sync.Pool{New: func() any { return new(work) }}

func (w *work) free() {
	*w = work{}
	works.Put(w)
}

// sizedKeyring is a keyring that wants to know how much a data key will seal.
// Only an envelope may say: it derives a key of its own for every message, so
// that it may be given one that sealed others.
type sizedKeyring interface {
	generateSized(ctx context.Context, ec Context, size int64) (*DataKey, error)
}

// unknownSize is the size of a stream without a bound.
const unknownSize = -1

func generate(ctx context.Context, ring Keyring, ec Context, size int64) (dk *DataKey, err error) {
	if r, ok := ring.(sizedKeyring); ok {
		dk, err = r.generateSized(ctx, ec, size)
	} else {
		dk, err = ring.GenerateDataKey(ctx, ec)
	}
	if err != nil {
		dk.Destroy()
		return nil, err
	}
	if dk == nil || len(dk.Plaintext) != DataKeyLen || len(dk.Encrypted) == 0 {
		dk.Destroy()
		return nil, fail(ErrMalformed, "the keyring made no data key")
	}
	return dk, nil
}

// begin appends the header of a new message and sets up w for its frames.
// room is how much will follow the header.
func (e *Envelope) begin(ctx context.Context, dst []byte, ec Context, size int64, room int, w *work) (_ []byte, sig *signing, err error) {
	if err := e.writes(ec); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	full := ec
	if e.o.Suite.signed() {
		sig = &signing{sum: newDigest(e.o.Suite)}
		var value string
		if sig.key, value, err = newSigner(); err != nil {
			return nil, nil, err
		}
		pairs := ec.Pairs()
		pairs[signerKey] = value
		full = contextOf(pairs)
	}
	dk, err := generate(ctx, e.ring, full, size)
	if err != nil {
		return nil, nil, err
	}
	defer dk.Destroy()
	if len(dk.Encrypted) > e.l.keys {
		return nil, nil, fail(ErrLimit, "%d encrypted data keys", len(dk.Encrypted))
	}
	id := newMessageID()
	if err := derive(e.o.Suite, dk.Plaintext, id[:], &w.content); err != nil {
		return nil, nil, err
	}
	w.f.init(w.content.aead, id[:])
	stored, required := e.split(full)
	start := len(dst)
	dst = slices.Grow(dst, headerSize(stored, dk.Encrypted)+room)
	if dst, err = appendHeader(dst, e.o.Suite, id[:], stored, dk.Encrypted, e.o.FrameLength, w.content.commit[:]); err != nil {
		return nil, nil, err
	}
	dst = w.content.aead.Seal(dst, w.zero[:], nil, join(dst[start:], required))
	if len(dst)-start > e.l.header {
		return nil, nil, fail(ErrLimit, "header of %d bytes", len(dst)-start)
	}
	if sig != nil {
		sig.sum.Write(dst[start:])
	}
	return dst, sig, nil
}

// split serializes what a header stores and what it only authenticates.
func (e *Envelope) split(full Context) (stored, required []byte) {
	if len(e.withheld) == 0 {
		return full.canonical, nil
	}
	s, r := map[string]string{}, map[string]string{}
	for k, v := range full.pairs {
		if e.withheld[k] {
			r[k] = v
		} else {
			s[k] = v
		}
	}
	return serialize(s), serialize(r)
}

// join leaves a alone when there is nothing to add.
func join(a, b []byte) []byte {
	if len(b) == 0 {
		return a
	}
	return append(slices.Clip(a), b...)
}

// opened is what an authentic header tells about the message.
type opened struct {
	verifier *ecdsa.PublicKey
	sum      hash.Hash
}

// authenticate checks a parsed header against the expected context, opens the
// data key and verifies commitment and header; then w can open frames.
// inspect, where it is not nil, sees the data key.
func (e *Envelope) authenticate(ctx context.Context, h *header, want Context, w *work, inspect func(dataKey []byte) error) (o opened, err error) {
	if err := e.accepts(want); err != nil {
		return o, err
	}
	if err := ctx.Err(); err != nil {
		return o, err
	}
	if h.suite.signed() && e.o.RefuseSigned {
		return o, fail(ErrUnsupported, "signed message")
	}
	full, required, err := e.reproduce(h, want)
	if err != nil {
		return o, err
	}
	if h.suite.signed() {
		if o.verifier, err = parseVerifier(full.pairs[signerKey]); err != nil {
			return o, err
		}
		o.sum = newDigest(h.suite)
		o.sum.Write(h.authenticated)
		o.sum.Write(h.tag)
	}
	dk, err := e.ring.DecryptDataKey(ctx, full, h.keys)
	defer dk.Destroy()
	if err != nil {
		return o, err
	}
	if dk == nil || len(dk.Plaintext) != DataKeyLen {
		return o, fail(ErrNoMatchingKey, "the keyring returned none")
	}
	if err := derive(h.suite, dk.Plaintext, h.messageID, &w.content); err != nil {
		return o, err
	}
	if subtle.ConstantTimeCompare(w.content.commit[:], h.commit) != 1 {
		return o, fail(ErrCommitment, "")
	}
	if _, err := w.content.aead.Open(nil, w.zero[:], h.tag, join(h.authenticated, required)); err != nil {
		return o, fail(ErrHeaderAuth, "")
	}
	w.f.init(w.content.aead, h.messageID)
	if inspect != nil {
		return o, inspect(dk.Plaintext)
	}
	return o, nil
}

// reproduce compares the header's context with the expected one. It returns
// the context that the data key was wrapped under, and the serialization of
// the pairs that the header authenticates without storing them.
func (e *Envelope) reproduce(h *header, want Context) (full Context, required []byte, err error) {
	if !h.suite.signed() && string(h.stored) == string(want.canonical) {
		return want, nil, nil
	}
	stored, err := parsePairs(h.stored)
	if err != nil {
		return Context{}, nil, err
	}
	if _, ok := stored[signerKey]; ok != h.suite.signed() {
		return Context{}, nil, fail(ErrMalformed, "a public key in the context is for signed messages, and they need one")
	}
	hidden := map[string]string{}
	for k, v := range want.pairs {
		if s, ok := stored[k]; ok && s != v || !ok && !e.withheld[k] {
			return Context{}, nil, fail(ErrContextMismatch, "")
		} else if !ok {
			hidden[k] = v
		}
	}
	for k := range stored {
		if _, ok := want.pairs[k]; !ok && !e.o.Subset && k != signerKey {
			return Context{}, nil, fail(ErrContextMismatch, "")
		}
	}
	if stored == nil {
		stored = map[string]string{}
	}
	for k, v := range hidden {
		stored[k] = v
	}
	return contextOf(stored), serialize(hidden), nil
}

// overlaps reports whether two slices share memory.
func overlaps(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	pa, pb := reflect.ValueOf(&a[0]).Pointer(), reflect.ValueOf(&b[0]).Pointer()
	return pa < pb+uintptr(len(b)) && pb < pa+uintptr(len(a))
}
