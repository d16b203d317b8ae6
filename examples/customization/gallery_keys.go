package main

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// keyRecorder keeps the key service's calls in the gallery's own audit log.
type keyRecorder struct{ log audit.Recorder }

// Record implements localkms.Recorder.
func (k keyRecorder) Record(ctx context.Context, e localkms.Event) error {
	ev := audit.Event{Time: e.Time, Kind: "kms." + strings.ToLower(e.Operation), Decision: audit.Allow, Reason: "ok"}
	if e.Code != "" {
		ev.Decision, ev.Reason = audit.Deny, strings.ToLower(e.Code)
	}
	return k.log.Record(ctx, ev)
}

// whole is a session as long as the gallery's; a fas.Session is one too.
type whole struct{ id tenant.SessionID }

// ID names the session.
func (w whole) ID() tenant.SessionID { return w.id }

// Expires is later than the gallery's end.
func (whole) Expires() time.Time { return time.Now().Add(time.Hour) }

// Err is nil: the session does not end.
func (whole) Err() error { return nil }

// keys are attacks on a key service: a worker with a grant that makes itself a
// wider one, and a key that was kept when the grant was taken back.
func (g *gallery) keys(ctx context.Context, dir string) ([]attack, func(), error) {
	store, err := localkms.Open(dir, tenant.NewSecret(bytes.Repeat([]byte{5}, 32)))
	if err != nil {
		return nil, nil, err
	}
	log, err := audit.Open(dir+"-audit", nil)
	if err != nil {
		return nil, nil, err
	}
	end := func() { _ = log.Close() }
	sub, err := g.subGrant(ctx, store, log)
	if err != nil {
		end()
		return nil, nil, err
	}
	kept, err := g.keptKey(ctx, store)
	if err != nil {
		end()
		return nil, nil, err
	}
	return []attack{sub, kept}, end, nil
}

func (g *gallery) subGrant(ctx context.Context, store *localkms.KMS, log audit.Recorder) (attack, error) {
	service, err := localkms.NewService(store, keyRecorder{log}, nil)
	if err != nil {
		return attack{}, err
	}
	const account = "arn:aws:iam::000000000000:"
	owner := localkms.Principal{ARN: account + "root"}
	worker := localkms.Principal{ARN: account + "user/worker"}
	key, err := service.CreateKey(ctx, owner, &localkms.CreateKeyInput{})
	if err != nil {
		return attack{}, err
	}
	grant := func(who localkms.Principal, to, customization string, more ...string) error {
		_, err := service.CreateGrant(ctx, who, &localkms.CreateGrantInput{KeyID: key.KeyMetadata.KeyID, GranteePrincipal: account + to,
			Operations: append([]string{"Decrypt"}, more...), Constraints: &localkms.Constraints{
				EncryptionContextSubset: map[string]string{"tenant": "a", "customization": customization}}})
		return err
	}
	if err := grant(owner, "user/worker", "b", "CreateGrant"); err != nil {
		return attack{}, err
	}
	return attack{"sub-grant-wider", "a grant's holder makes a grant for another customization", "kms",
		func(context.Context) (outcome, error) {
			return refusedBy(grant(worker, "user/accomplice", "c"), localkms.ErrNotAuthorized)
		},
		func(context.Context) error { return grant(worker, "user/helper", "b") }}, nil
}

// keptKey opens with a warm cache after the grant was retired.
func (g *gallery) keptKey(ctx context.Context, store *localkms.KMS) (attack, error) {
	pairs := map[string]string{"tenant": "a", "customization": "b"}
	ec, err := kmsctx.NewContext(pairs)
	if err != nil {
		return attack{}, err
	}
	if err := store.EnsureKey(ctx, "kept"); err != nil {
		return attack{}, err
	}
	cache, err := kmsctx.NewCache(kmsctx.CachePolicy{})
	if err != nil {
		return attack{}, err
	}
	var message []byte
	// warm seals with a new grant, and returns the cached envelope.
	warm := func(name string) (*kmsctx.Envelope, string, error) {
		id, err := store.CreateGrant(ctx, "kept", name, pairs)
		if err != nil {
			return nil, "", err
		}
		ring, err := localkms.NewKeyring(store, id)
		if err != nil {
			return nil, "", err
		}
		cached, err := cache.Keyring(kmsctx.Partition{Tenant: g.a.admin.User.Tenant, Key: "kept", Session: whole{tenant.NewSessionID()}}, ring)
		if err != nil {
			return nil, "", err
		}
		env, err := kmsctx.New(cached, nil)
		if err != nil {
			return nil, "", err
		}
		if message == nil {
			if message, err = env.Seal(ctx, nil, []byte("source"), ec); err != nil {
				return nil, "", err
			}
		}
		_, err = env.Open(ctx, nil, message, ec)
		return env, id, err
	}
	return attack{"cache-after-revoke", "a kept data key used after its grant was retired", "kmsctx",
		func(context.Context) (outcome, error) {
			env, id, err := warm("attacked")
			if err != nil {
				return outcome{}, err
			}
			if err := store.RetireGrant(ctx, id); err != nil {
				return outcome{}, err
			}
			cache.Invalidate("kept")
			_, err = env.Open(ctx, nil, message, ec)
			return refusedBy(err, kmsctx.ErrNotAuthorized)
		},
		func(context.Context) error {
			_, _, err := warm("control")
			return err
		}}, nil
}
