package fas

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

func answerKey(n int) (k [32]byte) {
	binary.BigEndian.PutUint64(k[:], uint64(n)+1)
	return k
}

func kept(t tenant.ID, at time.Time) *Session {
	return &Session{id: tenant.NewSessionID(), tenant: t, verbs: []Verb{VerbBucketRead}, expires: at.Add(time.Hour),
		keys:  map[Verb]tenant.Secret{VerbQuery: tenant.NewSecret(make([]byte, 32))},
		creds: &Credentials{Secret: tenant.NewSecret([]byte("secret"))}}
}

func TestAnswersEnd(t *testing.T) {
	t.Parallel()
	var a answers
	id, at := tenant.NewID(), time.Now()
	s := kept(id, at)
	a.keep(answerKey(0), s, at)
	if err := s.Close(); err != nil { // the one that was sent is wiped
		t.Fatal(err)
	}
	own := a.of[id].kept[answerKey(0)]
	got := a.again(id, answerKey(0), at.Add(retryWindow))
	if got == nil || got.ID() != s.ID() {
		t.Fatal("within the window the answer does not come again")
	}
	if c, err := got.Credentials(); err != nil || !c.Secret.Equal([]byte("secret")) {
		t.Errorf("the answer comes again without its credentials: %v", err)
	}
	if len(own.keys)+len(got.keys) != 0 {
		t.Error("keys are kept for an answer that may come again")
	}
	if a.again(id, answerKey(1), at) != nil || a.again(tenant.NewID(), answerKey(0), at) != nil {
		t.Error("an answer to another request, or to another tenant")
	}
	if a.again(id, answerKey(0), at.Add(retryWindow+1)) != nil {
		t.Error("an answer after the window")
	}
	if a.of[id] != nil || own.Err() == nil {
		t.Error("what cannot come again is kept")
	}
	brief := kept(id, at)
	brief.expires = time.Now().Add(-time.Second)
	a.keep(answerKey(2), brief, at)
	if a.again(id, answerKey(2), at) != nil {
		t.Error("an expired session comes again")
	}
	// Of a tenant that calls no more nothing stays.
	a.again(tenant.NewID(), answerKey(0), at.Add(2*retryWindow))
	if len(a.of) != 0 {
		t.Errorf("answers of %d tenants are kept", len(a.of))
	}
}

// The bound is a tenant's own: another one's calls push nothing out.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var a answers
	id, other, at := tenant.NewID(), tenant.NewID(), time.Now()
	a.keep(answerKey(0), kept(other, at), at)
	for n := range maxAnswers + 10 {
		a.keep(answerKey(n), kept(id, at), at)
	}
	if len(a.of[id].kept) != maxAnswers || a.again(id, answerKey(0), at) != nil || a.again(id, answerKey(10), at) == nil || a.again(id, answerKey(maxAnswers+9), at) == nil {
		t.Errorf("%d kept", len(a.of[id].kept))
	}
	if a.again(other, answerKey(0), at) == nil {
		t.Error("one tenant's calls push out another's answer")
	}
}
