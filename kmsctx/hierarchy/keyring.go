package hierarchy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Supplier says which branch key an encryption context is for: the tenant's. It
// is asked at every use, must not block, and must be safe for concurrent use.
// Its error means that there is none; the text goes into the keyring's error,
// so it names no values of the context.
type Supplier func(ec kmsctx.Context) (id string, err error)

// ByPair takes the value of one pair as the branch key's ID. That value must be
// a machine-made one, such as a tenant.ID.
func ByPair(key string) Supplier {
	return func(ec kmsctx.Context) (string, error) {
		if id := ec.Pairs()[key]; id != "" {
			return id, nil
		}
		return "", errors.New("the context lacks the pair that names it")
	}
}

// Options bound what a keyring keeps and accepts. The zero value is the safe
// one.
type Options struct {
	// MaxEntries is how many branch keys are kept, each version and each active
	// one counting, the least recently used going first. Zero means 1,000.
	MaxEntries int
	// IgnoreBoundPairs lets a branch key serve contexts that lack the pairs it
	// was created with, as the official keyring does. A supplier's mistake then
	// shows nowhere.
	IgnoreBoundPairs bool
}

const (
	minTTL = time.Second
	maxTTL = time.Hour
)

// Keyring wraps data keys under branch keys. It is a [kmsctx.Keyring] and a
// [kmsctx.Wrapper].
type Keyring struct {
	store  *Store
	branch Supplier
	o      Options
	kept   *cache
}

// New returns a keyring over a store. ttl is how long an opened branch key is
// used, counted from before KMS was asked, 1 second to 1 hour: the time that it
// takes until a disabled KMS key, a withdrawn permission or a rotation is seen.
// Arguments out of range are refused with [kmsctx.ErrMalformed].
//
// The keyring must be closed.
func New(store *Store, ttl time.Duration, branch Supplier, opts *Options) (*Keyring, error) {
	if store == nil || branch == nil {
		return nil, fault("new keyring", kmsctx.ErrMalformed, "it needs a store and a supplier of branch key IDs")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 1000
	}
	if ttl < minTTL || ttl > maxTTL || o.MaxEntries < 1 {
		return nil, fault("new keyring", kmsctx.ErrMalformed, "the time to live is 1 second to 1 hour, and at least one branch key is kept")
	}
	return &Keyring{store, branch, o, newCache(ttl, o.MaxEntries)}, nil
}

// Forget wipes all that is kept of a branch key. Once it has returned, no use
// that begins gets what was opened before.
func (r *Keyring) Forget(id string) {
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	r.kept.forget(id)
}

// Close wipes everything, ends what is under way and waits for it. Uses after
// it fail with [kmsctx.ErrClosed]. It is harmless twice.
func (r *Keyring) Close() { r.kept.close() }

func begin(ctx context.Context, op string, ec kmsctx.Context) error {
	if ec.IsZero() {
		return fault(op, kmsctx.ErrContext, "none given")
	}
	return ctx.Err()
}

// branchID is the ID of the context's branch key.
func (r *Keyring) branchID(ec kmsctx.Context) (string, error) {
	id, err := r.branch(ec)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrNoBranchKey, err)
	case !printable.MatchString(id):
		return "", fmt.Errorf("%w: what the supplier returned is no ID", ErrNoBranchKey)
	}
	return id, nil
}

// opened is the context's branch key, in the version asked for.
func (r *Keyring) opened(ctx context.Context, op string, s slot, ec kmsctx.Context) (*material, error) {
	m, err := r.kept.get(ctx, s, func(ctx context.Context) (*BranchKey, error) {
		if s.version == (Version{}) {
			return r.store.Active(ctx, s.id)
		}
		return r.store.Version(ctx, s.id, s.version)
	})
	if err != nil {
		return nil, err
	}
	if r.o.IgnoreBoundPairs {
		return m, nil
	}
	pairs := ec.Pairs()
	for k, v := range m.bound {
		if got, ok := pairs[k]; !ok || got != v {
			m.wipe()
			return nil, said(op, s.id, ErrForeign)
		}
	}
	return m, nil
}

// GenerateDataKey implements [kmsctx.Keyring].
func (r *Keyring) GenerateDataKey(ctx context.Context, ec kmsctx.Context) (*kmsctx.DataKey, error) {
	plain := make([]byte, kmsctx.DataKeyLen)
	_, _ = rand.Read(plain) // never fails
	keys, err := r.WrapDataKey(ctx, ec, plain)
	if err != nil {
		clear(plain)
		return nil, err
	}
	return &kmsctx.DataKey{Plaintext: plain, Encrypted: keys}, nil
}

// WrapDataKey implements [kmsctx.Wrapper].
func (r *Keyring) WrapDataKey(ctx context.Context, ec kmsctx.Context, plaintext []byte) ([]kmsctx.EncryptedDataKey, error) {
	const op = "wrap data key"
	if len(plaintext) != kmsctx.DataKeyLen {
		return nil, fault(op, kmsctx.ErrMalformed, "a data key has 32 bytes")
	}
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	id, err := r.branchID(ec)
	if err != nil {
		return nil, said(op, "", err)
	}
	m, err := r.opened(ctx, op, slot{id: id}, ec)
	if err != nil {
		return nil, err
	}
	defer m.wipe()
	b, err := wrap(m.key[:], id, m.version, ec, plaintext)
	if err != nil {
		return nil, said(op, id, err)
	}
	return []kmsctx.EncryptedDataKey{{Provider: Provider, Info: []byte(id), Ciphertext: b}}, nil
}

// DecryptDataKey implements [kmsctx.Keyring]. The errors of all records of the
// context's branch key are joined.
func (r *Keyring) DecryptDataKey(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	const op = "unwrap data key"
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	id, err := r.branchID(ec)
	if err != nil {
		return nil, &kmsctx.Error{Op: "hierarchy: " + op, Kind: kmsctx.ErrNoMatchingKey, Err: err}
	}
	var errs []error
	for _, k := range keys {
		rec, ok := parseRecord(k.Ciphertext)
		if k.Provider != Provider || string(k.Info) != id || !ok {
			continue
		}
		plain, err := r.unwrap(ctx, op, id, rec, ec)
		if err == nil {
			return &kmsctx.DataKey{Plaintext: plain}, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		errs = append(errs, err)
	}
	return nil, &kmsctx.Error{Op: "hierarchy: " + op, Kind: kmsctx.ErrNoMatchingKey, KeyID: id, Err: errors.Join(errs...)}
}

func (r *Keyring) unwrap(ctx context.Context, op, id string, rec record, ec kmsctx.Context) ([]byte, error) {
	m, err := r.opened(ctx, op, slot{id, rec.version}, ec)
	if err != nil {
		return nil, err
	}
	defer m.wipe()
	plain, err := unwrap(m.key[:], id, rec, ec)
	if err != nil {
		return nil, &kmsctx.Error{Op: "hierarchy: " + op, Kind: kmsctx.ErrInvalidCiphertext, KeyID: id}
	}
	return plain, nil
}
