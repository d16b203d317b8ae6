package awssts

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/cloisterdev/cloister/fas"
)

// ProofConfig holds the parts of a verifier of proofs.
type ProofConfig struct {
	// Audience is the name of this service; proofs for another are refused.
	// Required.
	Audience string
	// Regions are the regions whose STS is asked. Required.
	Regions []string
	// Replay remembers which proofs were used. Required. With a store that does
	// not outlive the process, a caller's clock may be five seconds ahead and not
	// a minute, and what is dated before the verifier's start, or within five
	// seconds of it, is refused: it may have been used before.
	Replay fas.ReplayStore
	// Transport carries the request to STS; nil means one of its own, over TLS
	// 1.2 or later, by the proxy of the environment if there is one. Whoever
	// chooses the transport chooses who callers are.
	Transport http.RoundTripper
}

// ProofVerifier asks STS who made a proof, about four proofs at a time. It is
// safe for concurrent use.
type ProofVerifier struct {
	audience string
	regions  []string
	replay   fas.ReplayStore
	client   *http.Client
	places   chan struct{} // one for each proof that is asked about
	started  time.Time
}

const (
	proofAge  = 5 * time.Minute // STS would take 15
	proofSkew = time.Minute     // of a caller's clock that is ahead
	proofWait = 2 * time.Second
	// proofKept is until when a proof can still be confirmed.
	proofKept = proofAge + proofWait
	// proofLead is proofSkew where a restart forgets what was used. Whatever was
	// taken before is dated at most that long after the start, so everybody else
	// is refused that long, too: a minute would be felt at each restart. With
	// nothing at all, clocks that are kept well would be ahead now and then.
	proofLead = 5 * time.Second
	// proofPlaces is how many proofs are asked about at a time. Who made one is
	// known only afterwards, so that no limit of a tenant can come before.
	proofPlaces = 4
)

// NewProofVerifier refuses a missing or malformed part with [ErrConfig].
func NewProofVerifier(c ProofConfig) (*ProofVerifier, error) {
	if !audienceForm(c.Audience) || len(c.Regions) == 0 || c.Replay == nil {
		return nil, ErrConfig
	}
	for _, r := range c.Regions {
		if (Proof{proofWire{Region: r}}).check() == ErrRegion {
			return nil, fmt.Errorf("%w: region", ErrConfig)
		}
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: proofWait, MaxResponseHeaderBytes: maxAnswer, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, DisableCompression: true}
	}
	return &ProofVerifier{audience: c.Audience, regions: slices.Clone(c.Regions), replay: c.Replay, started: time.Now(), places: make(chan struct{}, proofPlaces),
		client: &http.Client{Transport: c.Transport, Timeout: proofWait,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Verify returns who made the request of this digest to this audience. A proof
// is good once. The digest is the verifier's own, computed from the request at
// hand. Errors wrap [ErrProof], [ErrAudience], [ErrRegion], [ErrSkew],
// [ErrReplayed], [ErrBusy] or [ErrService]; after ErrBusy the same proof may be
// tried again.
func (v *ProofVerifier) Verify(ctx context.Context, p Proof, digest [32]byte) (AWSCaller, error) {
	now := time.Now()
	r, err := v.question(ctx, p, digest, now)
	if err != nil {
		return AWSCaller{}, err
	}
	if !v.replay.Durable() {
		switch at := p.time(); {
		case at.Before(v.started.Add(proofLead)):
			return AWSCaller{}, fmt.Errorf("%w, perhaps: before this process started", ErrReplayed)
		case at.After(now.Add(proofLead)):
			return AWSCaller{}, ErrSkew
		}
	}
	c, err := v.ask(r)
	if err != nil {
		return AWSCaller{}, err
	}
	// After the answer, so that what nobody signed takes no room; at the same
	// moment, one of two is fresh.
	if _, fresh, err := v.replay.Claim(ctx, p.once(v.audience), now, p.time().Add(proofKept)); err != nil || !fresh {
		return AWSCaller{}, errors.Join(ErrReplayed, err)
	}
	return c, nil
}

// once names the proof in a replay store.
func (p Proof) once(audience string) [32]byte {
	sig := p.signature()
	return sha256.Sum256(append([]byte("aws-caller\x00"+audience+"\x00"+p.w.AccessKeyID+"\x00"), sig[:]...))
}

// confirm is Verify without the memory.
func (v *ProofVerifier) confirm(ctx context.Context, p Proof, digest [32]byte, now time.Time) (AWSCaller, error) {
	r, err := v.question(ctx, p, digest, now)
	if err != nil {
		return AWSCaller{}, err
	}
	return v.ask(r)
}

// question refuses what need not be asked, and writes the request that asks.
func (v *ProofVerifier) question(ctx context.Context, p Proof, digest [32]byte, now time.Time) (*http.Request, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if !slices.Contains(v.regions, p.w.Region) {
		return nil, ErrRegion
	}
	if age := now.Sub(p.time()); age > proofAge || age < -proofSkew {
		return nil, ErrSkew
	}
	// Spares a question. What decides is that the request is written for our own
	// audience and digest.
	if p.w.Audience != v.audience || subtle.ConstantTimeCompare([]byte(p.w.Digest), []byte(hex.EncodeToString(digest[:]))) != 1 {
		return nil, ErrAudience
	}
	return p.request(ctx, v.audience, digest)
}

// ask asks STS, or refuses at once: whoever waited for a place would hold a
// firewall's connection meanwhile.
func (v *ProofVerifier) ask(r *http.Request) (AWSCaller, error) {
	select {
	case v.places <- struct{}{}:
		defer func() { <-v.places }()
	default:
		return AWSCaller{}, ErrBusy
	}
	res, err := v.client.Do(r)
	if err != nil {
		if ctxErr := r.Context().Err(); ctxErr != nil {
			return AWSCaller{}, fmt.Errorf("%w: %w", ErrService, ctxErr)
		}
		return AWSCaller{}, ErrService // the transport's error may name a proxy
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusForbidden, res.StatusCode == http.StatusBadRequest, res.StatusCode == http.StatusUnauthorized:
		return AWSCaller{}, ErrProof
	case res.StatusCode != http.StatusOK:
		return AWSCaller{}, fmt.Errorf("%w: status %d", ErrService, res.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || (kind != "text/xml" && kind != "application/xml") {
		return AWSCaller{}, fmt.Errorf("%w: not XML", ErrService)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return AWSCaller{}, fmt.Errorf("%w: a broken answer", ErrService)
	}
	return parseAnswer(b)
}
