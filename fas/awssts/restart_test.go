package awssts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
)

// stamp is how a proof says when it was made.
const stamp = "20060102T150405Z"

// yes is an STS that confirms every proof, after f.
type yes func()

func (f yes) RoundTrip(*http.Request) (*http.Response, error) {
	f()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

// lasting is a store of this process that says it outlives it.
type lasting struct{ fas.ReplayStore }

func (lasting) Durable() bool { return true }

func memory(t testing.TB) fas.ReplayStore {
	t.Helper()
	m, err := fas.MemoryReplay(1000)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func verifierOf(t testing.TB, store fas.ReplayStore, to http.RoundTripper) *awssts.ProofVerifier {
	t.Helper()
	v, err := awssts.NewProofVerifier(awssts.ProofConfig{Audience: audience, Regions: []string{"us-east-1", "eu-west-1"}, Replay: store, Transport: to})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// dated is a proof of a caller whose clock shows at.
func dated(t testing.TB, at time.Time) awssts.Proof {
	t.Helper()
	f := maps.Clone(fields(t, prove(t, caller, audience, digest)))
	f["time"] = at.UTC().Format(stamp)
	f["signature"] = fmt.Sprintf("%064x", at.Unix()) // which this STS does not look at
	p, err := proof(f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A proof that was taken before a restart is not taken after it, whatever its
// caller's clock showed, and however soon the verifier is there again.
func TestProofIsNotTakenAgainAfterARestart(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		want  error // of the first use
	}{
		{-2 * time.Second, nil}, {0, nil}, {time.Second, nil}, {5 * time.Second, nil},
		{6 * time.Second, awssts.ErrSkew}, {40 * time.Second, awssts.ErrSkew}, {time.Minute, awssts.ErrSkew},
	} {
		t.Run(c.ahead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := verifierOf(t, memory(t), yes(func() {}))
				time.Sleep(10 * time.Second) // what was signed before it started is another matter
				p := dated(t, time.Now().Add(c.ahead))
				if _, err := v.Verify(t.Context(), p, digest); !errors.Is(err, c.want) {
					t.Errorf("%s ahead: %v", c.ahead, err)
				}
				if c.want != nil {
					return // it was not taken, and may be when its time has come
				}
				time.Sleep(time.Millisecond)
				again := verifierOf(t, memory(t), yes(func() {}))
				for range 400 {
					if who, err := again.Verify(t.Context(), p, digest); err == nil || who != (awssts.AWSCaller{}) {
						t.Fatalf("%s ahead, taken a second time", c.ahead)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// An honest caller waits for seconds after a start, and for nothing where the
// store outlives the process; there a clock may be a minute ahead.
func TestProofAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		forgets, remembers := verifierOf(t, memory(t), yes(func() {})), verifierOf(t, lasting{memory(t)}, yes(func() {}))
		for _, c := range []struct {
			after, ahead time.Duration
			want         error
		}{
			{0, 0, awssts.ErrReplayed}, {4 * time.Second, 0, awssts.ErrReplayed}, {4 * time.Second, 2 * time.Second, nil},
			{5 * time.Second, 0, nil}, {6 * time.Second, -3 * time.Second, awssts.ErrReplayed},
		} {
			time.Sleep(time.Until(start.Add(c.after)))
			p := dated(t, time.Now().Add(c.ahead))
			if _, err := forgets.Verify(t.Context(), p, digest); !errors.Is(err, c.want) {
				t.Errorf("%s after the start, %s ahead: %v", c.after, c.ahead, err)
			}
			if _, err := remembers.Verify(t.Context(), p, digest); err != nil {
				t.Errorf("%s after the start, %s ahead, with a store that lasts: %v", c.after, c.ahead, err)
			}
		}
		if _, err := remembers.Verify(t.Context(), dated(t, time.Now().Add(time.Minute)), digest); err != nil {
			t.Errorf("a minute ahead: %v", err)
		}
		if _, err := remembers.Verify(t.Context(), dated(t, time.Now().Add(time.Minute+time.Second)), digest); !errors.Is(err, awssts.ErrSkew) {
			t.Errorf("more than a minute ahead: %v", err)
		}
	})
}

// exact keeps a key until the moment that it was told, and not longer.
type exact map[[32]byte]time.Time

func (e exact) Claim(_ context.Context, key [32]byte, now, until time.Time) (time.Time, bool, error) {
	if end, ok := e[key]; ok && !time.Now().After(end) {
		return now, false, nil
	}
	e[key] = until
	return now, true, nil
}
func (exact) Durable() bool { return true }

// A proof that is asked about at its last moment is remembered until the answer
// must be there.
func TestProofIsRememberedWhileItIsAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifierOf(t, exact{}, yes(func() { time.Sleep(1900 * time.Millisecond) }))
		begin := time.Now()
		p := dated(t, begin)
		if _, err := v.Verify(t.Context(), p, digest); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(begin.Add(5 * time.Minute)))
		if _, err := v.Verify(t.Context(), p, digest); !errors.Is(err, awssts.ErrReplayed) {
			t.Errorf("taken twice: %v", err)
		}
		ev, err := awssts.Evidence(p, "POST", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if ahead := ev.Claim().Ahead; ahead != time.Minute {
			t.Errorf("clocks may be %s ahead", ahead)
		}
		if end := ev.Claim().Until; end.Before(begin.Add(5*time.Minute + 1900*time.Millisecond)) {
			t.Errorf("as evidence it is remembered until %s", end)
		}
	})
}
