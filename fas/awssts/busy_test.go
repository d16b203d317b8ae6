package awssts_test

import (
	"bytes"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
)

const few = 4

// waits is an STS that says yes when it is told to, and until then nothing.
type waits struct {
	asked   *atomic.Int32
	answers chan struct{}
}

func (w waits) RoundTrip(r *http.Request) (*http.Response, error) {
	w.asked.Add(1)
	select {
	case <-w.answers:
		return yes(func() {}).RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// doors are the ways to have a proof asked about. Each proof is another one.
func doors(t *testing.T, v *awssts.ProofVerifier) (direct, scheme func() error) {
	t.Helper()
	s, err := v.Scheme(accounts{is: awssts.AWSCaller{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/deploy/me"}})
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	next := func() awssts.Proof { return dated(t, time.Now().Add(-time.Duration(n.Add(1))*time.Second)) }
	return func() error {
			_, err := v.Verify(t.Context(), next(), digest)
			return err
		}, func() error {
			ev, err := awssts.Evidence(next(), "POST", "/CreateCustomization", []byte("{}"))
			if err != nil {
				return err
			}
			b, err := ev.MarshalBinary()
			if err != nil {
				return err
			}
			_, raw, _ := bytes.Cut(b, []byte{'\n'})
			_, _, err = s.Verify(t.Context(), raw, time.Now())
			return err
		}
}

// Strangers' proofs are not all asked about at once: beyond a few, whoever comes
// is refused without waiting, at each door, until one has its answer.
func TestProofsAreAskedAboutAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		answers, done := make(chan struct{}), make(chan error, 2*few)
		v := verifierOf(t, lasting{memory(t)}, waits{&asked, answers})
		direct, scheme := doors(t, v)
		busy := func(want int32) {
			t.Helper()
			for name, ask := range map[string]func() error{"a verifier": direct, "a firewall": scheme} {
				if err := ask(); !errors.Is(err, awssts.ErrBusy) || !errors.Is(err, awssts.ErrService) || errors.Is(err, fas.ErrUnavailable) != (name == "a firewall") || asked.Load() != want {
					t.Fatalf("%s, one too many: %v, %d asked", name, err, asked.Load())
				}
			}
		}
		for i := range few {
			go func() { done <- []func() error{direct, scheme}[i%2]() }()
		}
		synctest.Wait()
		busy(few)
		if _, err := v.Verify(t.Context(), prove(t, caller, "rag.example.org", digest), digest); !errors.Is(err, awssts.ErrAudience) {
			t.Errorf("what need not be asked: %v", err)
		}
		answers <- struct{}{}
		if err := <-done; err != nil {
			t.Error(err)
		}
		go func() { done <- direct() }()
		synctest.Wait()
		busy(few + 1)
		close(answers)
		for range few {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// Whoever STS does not answer gives the place back.
func TestPlacesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		done := make(chan error, few)
		direct, _ := doors(t, verifierOf(t, lasting{memory(t)}, waits{asked: &asked}))
		for round := range 3 {
			for range few {
				go func() { done <- direct() }()
			}
			for range few {
				if err := <-done; !errors.Is(err, awssts.ErrService) || errors.Is(err, awssts.ErrBusy) {
					t.Errorf("round %d: %v", round, err)
				}
			}
		}
		if n := asked.Load(); n != 3*few {
			t.Errorf("STS was asked %d times", n)
		}
	})
}
