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

func kept(at time.Time) *Session {
	return &Session{id: tenant.NewSessionID(), tenant: tenant.NewID(), verbs: []Verb{VerbQuery}, expires: at.Add(time.Hour),
		keys: map[Verb]tenant.Secret{VerbQuery: tenant.NewSecret(make([]byte, 32))}}
}

func TestAnswersEnd(t *testing.T) {
	t.Parallel()
	var a answers
	at := time.Now()
	s := kept(at)
	a.keep(answerKey(0), s, at)
	if err := s.Close(); err != nil { // the one that was sent is wiped
		t.Fatal(err)
	}
	own := a.kept[answerKey(0)]
	got := a.again(answerKey(0), at.Add(retryWindow))
	if got == nil || got.ID() != s.ID() || got.WithKey(VerbQuery, func([]byte) error { return nil }) != nil {
		t.Fatal("within the window the answer does not come again")
	}
	if a.again(answerKey(1), at) != nil {
		t.Error("an answer to another request")
	}
	if a.again(answerKey(0), at.Add(retryWindow+1)) != nil {
		t.Error("an answer after the window")
	}
	if len(a.kept) != 0 || own.Err() == nil {
		t.Error("what cannot come again is kept")
	}
	brief := kept(at)
	brief.expires = time.Now().Add(-time.Second)
	a.keep(answerKey(2), brief, at)
	if a.again(answerKey(2), at) != nil {
		t.Error("an expired session comes again")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var a answers
	at := time.Now()
	for n := range maxAnswers + 10 {
		a.keep(answerKey(n), kept(at), at)
	}
	if len(a.kept) != maxAnswers || a.again(answerKey(0), at) != nil || a.again(answerKey(10), at) == nil || a.again(answerKey(maxAnswers+9), at) == nil {
		t.Errorf("%d kept", len(a.kept))
	}
}
