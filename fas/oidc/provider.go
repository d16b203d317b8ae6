package oidc

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

const (
	fetchTimeout = 5 * time.Second
	fetchLimit   = 1 << 20
	// keysAge is how long keys are used after they were fetched.
	keysAge = 10 * time.Minute
	// A provider is asked this often at once, and then once in fetchEvery: a
	// stranger's token with a key id of its own makes the library ask again.
	fetchBurst = 6
	fetchEvery = 10 * time.Second
)

// provider is an issuer whose discovery document and keys are fetched and kept.
type provider struct {
	issuer string
	client *http.Client
	turn   chan struct{} // one fetch at a time; others may leave

	mu      sync.Mutex
	p       *gooidc.Provider
	fetched time.Time
}

func newProvider(issuer string, private bool) *provider {
	return &provider{issuer: issuer, client: newClient(private), turn: make(chan struct{}, 1)}
}

// get returns the provider with keys that are not too old.
func (p *provider) get(ctx context.Context) (*gooidc.Provider, error) {
	if got := p.fresh(); got != nil {
		return got, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrKeys, ctx.Err())
	}
	if got := p.fresh(); got != nil {
		return got, nil
	}
	ctx, cancel := context.WithTimeout(gooidc.ClientContext(ctx, p.client), fetchTimeout)
	defer cancel()
	got, err := gooidc.NewProvider(ctx, p.issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.p, p.fetched = got, time.Now()
	return got, nil
}

func (p *provider) fresh() *gooidc.Provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.p != nil && time.Since(p.fetched) < keysAge {
		return p.p
	}
	return nil
}
