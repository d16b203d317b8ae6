package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// localKey opens a store and finds, or makes for a writer, the grant that is
// good for this context. A retired grant stays retired for readers.
func (a keyArgs) localKey(ctx context.Context, dir string, ec kmsctx.Context, writes bool) (kmsctx.Keyring, error) {
	if a.name == "" {
		a.name = "default"
	}
	if _, err := kmsctx.NewContext(ec.Pairs()); err != nil {
		return nil, fmt.Errorf("%w: with local: keys of the context are of a-z 0-9 . _ - /, values printable ASCII without spaces, at most eight pairs and 384 characters", err)
	}
	path := a.root
	if path == "" {
		path = filepath.Join(filepath.Dir(filepath.Clean(dir)), "root.key")
	}
	root, err := rootKey(path)
	if err != nil {
		return nil, fmt.Errorf("the root key of %s: %w; --root-key names the file, 32 random bytes that nobody else reads", dir, err)
	}
	defer root.Destroy()
	if !writes {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(dir, "kms")); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: no store is there: its file kms is missing", dir)
		}
	}
	if err := storeLost(dir, filepath.Join(dir, "audit")); err != nil {
		return nil, err
	}
	k, err := localkms.Open(dir, root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	l := localLog{dir, a}
	pairs := ec.Pairs()
	for _, g := range k.Grants() {
		if g.KeyID == a.name && maps.Equal(g.Subset, pairs) {
			return newRecorded(k, g.ID, l)
		}
	}
	if !writes {
		return nil, fmt.Errorf("%w: key %q of %s has no grant for this context: nothing was sealed under it there, or the grant is retired", kmsctx.ErrNotAuthorized, a.name, dir)
	}
	var id string
	err = l.around(ctx, "CreateGrant", ec, &id, func() error {
		if err := k.EnsureKey(ctx, a.name); err != nil {
			return err
		}
		sum := sha256.Sum256(ec.Canonical())
		id, err = k.CreateGrant(ctx, a.name, "cloister-"+hex.EncodeToString(sum[:8]), pairs)
		return err
	})
	if errors.Is(err, localkms.ErrUnknown) {
		return nil, fmt.Errorf("%w: --key %q: a name is printable ASCII without spaces, at most 256 bytes", errUsage, a.name)
	}
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", a.name, err)
	}
	return newRecorded(k, id, l)
}

// storeLost refuses to begin a store where the log tells of one that had keys:
// what those sealed opens with them only, and a new one beside the old log would
// hide that they are gone.
func storeLost(dir, log string) error {
	if _, err := os.Stat(filepath.Join(dir, "kms")); !errors.Is(err, fs.ErrNotExist) {
		return nil // which opening it says
	}
	for e, err := range audit.Read(log) {
		if err != nil {
			return nil // no log, or one that is not opened either
		}
		if e.Decision == audit.Allow && (e.Kind == "kms.createkey" || e.Kind == "kms.encrypt" || e.Kind == "kms.generatedatakey") {
			return fmt.Errorf("%s: its file kms is missing, and the log %s tells of keys that were in it: put it back, or move %[1]s and the log away to begin another store", dir, log)
		}
	}
	return nil
}

// localLog is the audit log of a store: the one that kms serve writes too.
type localLog struct {
	dir string
	keyArgs
}

// shown is a context as the log has it: whoever reads the log learns no more
// than whoever reads the message.
func (l localLog) shown(ec kmsctx.Context) map[string]string {
	pairs := ec.Pairs()
	for _, k := range l.withheld {
		if _, ok := pairs[k]; ok {
			pairs[k] = "withheld"
		}
	}
	return pairs
}

// lockWait is how long others may have the log. Commands have it for as long as
// a record takes, and there may be many; a service keeps it.
const lockWait = 15 * time.Second

// open waits for the log, as long as the command goes on.
func (l localLog) open(ctx context.Context) (*audit.Log, error) {
	dir := filepath.Join(l.dir, "audit")
	wait, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		log, err := audit.Open(dir, nil)
		if err == nil {
			return log, nil
		}
		if !errors.Is(err, audit.ErrLocked) {
			return nil, fmt.Errorf("nothing is done that cannot be recorded: %w", err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-wait.Done():
			if err := ctx.Err(); errors.Is(err, context.Canceled) {
				return nil, err
			}
			advice := "stop it, or wait"
			if l.seals {
				advice += "; a running kms serve can be sealed with, by --kms aws:ARN and AWS_ENDPOINT_URL_KMS"
			}
			return nil, fmt.Errorf("%s: %w: another cloister command or cloister kms serve has this store: %s", dir, audit.ErrLocked, advice)
		}
	}
}

// around records a use of the store. Where the log cannot be written, nothing
// is done; where the record cannot, what was done is not handed out. The log is
// open no longer than this: seal and open may be the two ends of a pipe.
func (l localLog) around(ctx context.Context, op string, ec kmsctx.Context, grant *string, do func() error) (err error) {
	log, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	err = do()
	e := localkms.Event{Time: time.Now(), Operation: op, Principal: "local:uid/" + strconv.Itoa(os.Getuid()), KeyID: l.name, Context: l.shown(ec), GrantID: *grant}
	if err != nil {
		e.Code = localkms.Code(err)
	}
	return errors.Join(err, kmsAudit{log}.Record(context.WithoutCancel(ctx), e))
}

// recorded is the keyring of a store, each of its uses on record.
type recorded struct {
	ring  *localkms.Keyring
	grant string
	log   localLog
}

func newRecorded(k *localkms.KMS, grant string, l localLog) (kmsctx.Keyring, error) {
	ring, err := localkms.NewKeyring(k, grant)
	if err != nil {
		return nil, err
	}
	return &recorded{ring, grant, l}, nil
}

// GenerateDataKey implements [kmsctx.Keyring].
func (r *recorded) GenerateDataKey(ctx context.Context, ec kmsctx.Context) (*kmsctx.DataKey, error) {
	return r.key(ctx, "GenerateDataKey", ec, func() (*kmsctx.DataKey, error) { return r.ring.GenerateDataKey(ctx, ec) })
}

// DecryptDataKey implements [kmsctx.Keyring].
func (r *recorded) DecryptDataKey(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return r.key(ctx, "Decrypt", ec, func() (*kmsctx.DataKey, error) { return r.ring.DecryptDataKey(ctx, ec, keys) })
}

func (r *recorded) key(ctx context.Context, op string, ec kmsctx.Context, get func() (*kmsctx.DataKey, error)) (key *kmsctx.DataKey, err error) {
	err = r.log.around(ctx, op, ec, &r.grant, func() (err error) {
		key, err = get()
		return err
	})
	if err != nil {
		key.Destroy()
		return nil, err
	}
	return key, nil
}

// WrapDataKey implements [kmsctx.Wrapper].
func (r *recorded) WrapDataKey(ctx context.Context, ec kmsctx.Context, key []byte) (keys []kmsctx.EncryptedDataKey, err error) {
	err = r.log.around(ctx, "Encrypt", ec, &r.grant, func() (err error) {
		keys, err = r.ring.WrapDataKey(ctx, ec, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}
