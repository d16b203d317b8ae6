package firewalld

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// registry keeps the rows in bbolt, with a copy in memory for reading: the
// firewall is the only writer. Readers never wait for a disk, and writers of
// different rows share one write to it.
type registry struct {
	db    *bolt.DB
	v     *vault
	fresh bool // no process had it before

	writing [64]sync.Mutex // by row: one change of a row at a time

	mu    sync.RWMutex
	rows  map[tenant.CustomizationID]fas.Record
	users map[tenant.UserID]person
}

var (
	bucket   = []byte("customizations")
	revoked  = []byte("revocations")
	horizons = []byte("horizons")
)

// groupDelay is how long a write waits for others to share a disk write with.
const groupDelay = 500 * time.Microsecond

func openRegistry(path string, v *vault) (*registry, error) {
	_, there := os.Lstat(path)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("firewalld: open the registry: %w", err)
	}
	// bbolt syncs the file that it makes, and not the file's name.
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	db.MaxBatchDelay = groupDelay
	r := &registry{db: db, v: v, fresh: errors.Is(there, os.ErrNotExist), rows: map[tenant.CustomizationID]fas.Record{}, users: map[tenant.UserID]person{}}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		for _, name := range [][]byte{revoked, horizons} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return b.ForEach(func(_, val []byte) error {
			var rec fas.Record
			if err := json.Unmarshal(val, &rec); err != nil {
				return err
			}
			r.rows[rec.Customization] = rec
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (r *registry) close() error { return r.db.Close() }

// row takes the lock of a row.
func (r *registry) row(id tenant.CustomizationID) *sync.Mutex {
	text := id.String()
	return &r.writing[text[len(text)-1]%64]
}

// Create implements fas.Registry.
func (r *registry) Create(ctx context.Context, rec fas.Record) error {
	row := r.row(rec.Customization)
	row.Lock()
	defer row.Unlock()
	if _, err := r.Get(ctx, rec.Customization); err == nil {
		return fas.ErrConflict
	}
	return r.store(rec)
}

// store writes a row whose lock the caller has.
func (r *registry) store(rec fas.Record) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	err = r.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put([]byte(rec.Customization.String()), b) })
	if err != nil {
		return err
	}
	// The copy is decoded from what was stored, so that no pointer of a caller
	// stays in it.
	var own fas.Record
	if err := json.Unmarshal(b, &own); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows[own.Customization] = own
	return nil
}

func (r *registry) find(id tenant.CustomizationID) (fas.Record, error) {
	rec, ok := r.rows[id]
	if !ok {
		return rec, authz.ErrUnknown
	}
	return rec, nil
}

// Get implements fas.Registry.
func (r *registry) Get(_ context.Context, id tenant.CustomizationID) (fas.Record, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.find(id)
}

// List implements fas.Registry. It reads the memory only.
func (r *registry) List(_ context.Context, t tenant.ID) (out []fas.Record, err error) {
	r.mu.RLock()
	for _, rec := range r.rows {
		if rec.Tenant == t {
			out = append(out, rec)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(out, func(a, b fas.Record) int { return strings.Compare(a.Customization.String(), b.Customization.String()) })
	return out, nil
}

// Unfinished implements fas.Registry.
func (r *registry) Unfinished(context.Context) (out []fas.Record, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, rec := range r.rows {
		if rec.Pending != nil || rec.State == fas.Deleting {
			out = append(out, rec)
		}
	}
	return out, nil
}

// Update implements fas.Registry.
func (r *registry) Update(ctx context.Context, id tenant.CustomizationID, f func(*fas.Record) error) error {
	row := r.row(id)
	row.Lock()
	defer row.Unlock()
	old, err := r.Get(ctx, id)
	if err != nil {
		return err
	}
	// f gets a deep copy: what it changes counts only when it was stored.
	b, err := json.Marshal(old)
	if err != nil {
		return err
	}
	var rec fas.Record
	if err := json.Unmarshal(b, &rec); err != nil {
		return err
	}
	if err := f(&rec); err != nil {
		return err
	}
	return r.store(rec)
}

// Delete implements fas.Registry.
func (r *registry) Delete(_ context.Context, id tenant.CustomizationID) error {
	row := r.row(id)
	row.Lock()
	defer row.Unlock()
	err := r.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Delete([]byte(id.String())) })
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.rows, id)
	return nil
}

// Revoked implements fas.Revocations.
func (r *registry) Revoked(context.Context) (out []fas.Revocation, err error) {
	err = r.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(revoked).ForEach(func(_, val []byte) error {
			var rev fas.Revocation
			if err := json.Unmarshal(val, &rev); err != nil {
				return err
			}
			out = append(out, rev)
			return nil
		})
	})
	return out, err
}

// Revoke implements fas.Revocations. What is older than anything lives is
// dropped on the way.
func (r *registry) Revoke(_ context.Context, rev fas.Revocation) error {
	b, err := json.Marshal(rev)
	if err != nil {
		return err
	}
	old := []byte(rev.At.Add(-26 * time.Hour).UTC().Format(revokedKey))
	return r.db.Update(func(tx *bolt.Tx) error {
		bk := tx.Bucket(revoked)
		c := bk.Cursor()
		for k, _ := c.First(); k != nil && bytes.Compare(k, old) < 0; k, _ = c.First() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		seq, err := bk.NextSequence()
		if err != nil {
			return err
		}
		return bk.Put(fmt.Appendf(nil, "%s %d", rev.At.UTC().Format(revokedKey), seq), b)
	})
}

// revokedKey sorts by time.
const revokedKey = "2006-01-02T15:04:05.000000000"

// Horizons implements fas.Horizons. Since a process before this one may have
// used them a moment ago, it waits for the next second, unless nobody can have.
func (r *registry) Horizons(context.Context) (map[tenant.UserID]time.Time, error) {
	out := map[tenant.UserID]time.Time{}
	err := r.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(horizons)
		var over [][]byte
		err := b.ForEach(func(k, val []byte) error {
			id, err := tenant.ParseUserID(string(k))
			if err != nil {
				return err
			}
			var at time.Time
			if err := at.UnmarshalText(val); err != nil {
				return err
			}
			if out[id] = at; at.Before(time.Now()) {
				over = append(over, k)
			}
			return nil
		})
		for _, k := range over {
			err = errors.Join(err, b.Delete(k))
		}
		return err
	})
	if err == nil && !r.fresh {
		now := time.Now()
		time.Sleep(now.Truncate(time.Second).Add(time.Second).Sub(now))
	}
	return out, err
}

// Extend implements fas.Horizons.
func (r *registry) Extend(_ context.Context, u tenant.UserID, to time.Time) error {
	val, err := to.UTC().MarshalText()
	if err != nil {
		return err
	}
	return r.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(horizons).Put([]byte(u.String()), val) })
}

// User implements authz.Directory.
func (r *registry) User(_ context.Context, t tenant.ID, u tenant.UserID) (authz.UserFacts, error) {
	r.mu.RLock()
	p, ok := r.users[u]
	r.mu.RUnlock()
	if !ok {
		if err := r.v.get(filepath.Join(r.v.dir, "identities", u.String()), u.String(), &p); err != nil {
			return authz.UserFacts{}, authz.ErrUnknown
		}
		r.mu.Lock()
		r.users[u] = p
		r.mu.Unlock()
	}
	if p.Tenant != t {
		return authz.UserFacts{}, authz.ErrUnknown
	}
	return authz.UserFacts{Admin: p.Admin}, nil
}

// Customization implements authz.Directory.
func (r *registry) Customization(ctx context.Context, id tenant.CustomizationID) (authz.CustomizationFacts, error) {
	rec, err := r.Get(ctx, id)
	if err != nil {
		return authz.CustomizationFacts{}, err
	}
	f := authz.CustomizationFacts{Tenant: rec.Tenant, State: string(rec.State), Users: rec.Users}
	if rec.Active != nil {
		f.State = string(fas.Activated)
	}
	return f, nil
}

// keyService is fas.Keys over the local key service: one key a tenant, one
// grant a customization.
type keyService struct {
	kms     *localkms.KMS
	tenants *tenants
}

func (k keyService) Grant(ctx context.Context, t tenant.ID, c tenant.CustomizationID) (string, error) {
	if err := k.tenants.current(ctx, t); err != nil {
		return "", err
	}
	if err := k.kms.EnsureKey(ctx, t.String()); err != nil {
		return "", err
	}
	return k.kms.CreateGrant(ctx, t.String(), c.String(), map[string]string{"tenant": t.String(), "customization": c.String()})
}

func (k keyService) Retire(ctx context.Context, grant string) error {
	return k.kms.RetireGrant(ctx, grant)
}

func contextOf(b fas.Binding) (kmsctx.Context, error) {
	return kmsctx.NewContext(map[string]string{"tenant": b.Tenant.String(), "customization": b.Customization.String(),
		"collection": b.Collection.String(), "snapshot": b.Snapshot.String(), "purpose": b.Purpose})
}

func (k keyService) Generate(ctx context.Context, grant string, b fas.Binding) (plain, wrapped []byte, err error) {
	if err := k.tenants.current(ctx, b.Tenant); err != nil {
		return nil, nil, err
	}
	ec, err := contextOf(b)
	if err != nil {
		return nil, nil, err
	}
	return k.kms.GenerateDataKey(ctx, grant, ec)
}

func (k keyService) Unwrap(ctx context.Context, grant string, b fas.Binding, wrapped []byte) ([]byte, error) {
	if err := k.tenants.current(ctx, b.Tenant); err != nil {
		return nil, err
	}
	ec, err := contextOf(b)
	if err != nil {
		return nil, err
	}
	return k.kms.Decrypt(ctx, grant, ec, wrapped)
}
