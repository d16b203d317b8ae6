package fas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

func use([]byte) error { return nil }

// querySession is a session as the client decodes it: good for queries, with a
// key for another verb that it does not list.
func querySession() *Session {
	return &Session{id: tenant.NewSessionID(), tenant: tenant.NewID(), verbs: []Verb{VerbQuery}, expires: time.Now().Add(time.Minute),
		keys: map[Verb]tenant.Secret{VerbQuery: tenant.NewSecret(bytes.Repeat([]byte{7}, 32)), VerbIndex: tenant.NewSecret(bytes.Repeat([]byte{8}, 32))}}
}

func bucketSession() *Session {
	s := querySession()
	s.verbs, s.keys = []Verb{VerbBucketRead}, nil
	s.creds = &Credentials{AccessKeyID: "ASIA", Secret: tenant.NewSecret([]byte("hunter2")), Token: "token", Bucket: "b", Prefix: "p/"}
	return s
}

func TestMadeUpSessionsOpenNothing(t *testing.T) {
	t.Parallel()
	noID := querySession()
	noID.id = tenant.SessionID{}
	for name, s := range map[string]*Session{"nil": nil, "zero": {}, "without ID": noID} {
		if err := s.Err(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
		for _, v := range []Verb{"", VerbQuery, VerbComplete, VerbIndex, VerbStage, VerbEvaluate, VerbBucketRead} {
			if err := s.WithKey(v, use); !errors.Is(err, ErrClosed) {
				t.Errorf("%s: key for %q: %v", name, v, err)
			}
		}
		if c, err := s.Credentials(); !errors.Is(err, ErrClosed) || c.AccessKeyID != "" {
			t.Errorf("%s: credentials: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if new(Session).Allows(VerbQuery) || (*Session)(nil).Allows(VerbQuery) {
		t.Error("a made-up session allows something")
	}
	if err := querySession().WithKey(VerbQuery, use); err != nil {
		t.Error(err)
	}
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	s := querySession()
	for _, v := range []Verb{"", "Query", "query ", VerbComplete, VerbIndex, VerbBucketRead} {
		if err := s.WithKey(v, use); !errors.Is(err, ErrVerb) || s.Allows(v) {
			t.Errorf("%q: %v", v, err)
		}
	}
	if _, err := s.Credentials(); !errors.Is(err, ErrVerb) {
		t.Errorf("credentials: %v", err)
	}
	b := bucketSession()
	b.verbs = []Verb{VerbQuery}
	if _, err := b.Credentials(); !errors.Is(err, ErrVerb) {
		t.Errorf("credentials without the verb: %v", err)
	}
	listed := querySession()
	listed.verbs = append(listed.verbs, VerbComplete)
	if err := listed.WithKey(VerbComplete, use); !errors.Is(err, ErrVerb) {
		t.Errorf("a verb without a key: %v", err)
	}
	if err := s.WithKey(VerbQuery, use); err != nil || !s.Allows(VerbQuery) {
		t.Error(err)
	}
	if c, err := bucketSession().Credentials(); err != nil || c.Bucket != "b" || !c.Secret.Equal([]byte("hunter2")) {
		t.Error(c, err)
	}
	want := errors.New("the caller's own")
	if err := s.WithKey(VerbQuery, func([]byte) error { return want }); !errors.Is(err, want) {
		t.Error(err)
	}
}

func TestExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := querySession(), bucketSession()
		time.Sleep(time.Minute - 1)
		if err := errors.Join(s.Err(), s.WithKey(VerbQuery, use), b.Err()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Nanosecond)
		_, err := b.Credentials()
		for name, err := range map[string]error{"Err": s.Err(), "WithKey": s.WithKey(VerbQuery, use), "Credentials": err} {
			if !errors.Is(err, ErrExpired) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Closed counts more: nobody waits for a clock to be set back.
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if err := s.Err(); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// A key is lent as a copy: changing it changes nothing, and it is gone when the
// call is over.
func TestKeyIsACopy(t *testing.T) {
	t.Parallel()
	s := querySession()
	var kept []byte
	for range 2 {
		err := s.WithKey(VerbQuery, func(k []byte) error {
			if !bytes.Equal(k, bytes.Repeat([]byte{7}, 32)) {
				t.Errorf("the key is %x", k)
			}
			clear(k)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WithKey(VerbQuery, func(k []byte) error { kept = k; return errors.New("x") }); err == nil {
		t.Fatal("no error")
	}
	if !bytes.Equal(kept, make([]byte, 32)) {
		t.Errorf("after the call the bytes are %x", kept)
	}
}

func TestCloseWipes(t *testing.T) {
	t.Parallel()
	s, b := querySession(), bucketSession()
	inside := func(k tenant.Secret) (p []byte) {
		if err := k.Use(func(b []byte) error { p = b; return nil }); err != nil {
			t.Fatal(err)
		}
		return p
	}
	raw := [][]byte{inside(s.keys[VerbQuery]), inside(s.keys[VerbIndex]), inside(b.creds.Secret)}
	creds, err := b.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), b.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	for i, k := range raw {
		if !bytes.Equal(k, make([]byte, len(k))) {
			t.Errorf("secret %d is %x", i, k)
		}
	}
	_, err = b.Credentials()
	for name, err := range map[string]error{"Err": s.Err(), "WithKey": s.WithKey(VerbQuery, use), "Credentials": err} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := creds.Secret.Use(use); !errors.Is(err, tenant.ErrDestroyed) {
		t.Errorf("credentials that were handed out before: %v", err)
	}
}

// Close waits for no caller and harms none: each has the whole key, or an error.
func TestCloseWhileInUse(t *testing.T) {
	t.Parallel()
	s := querySession()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for {
				err := s.WithKey(VerbQuery, func(k []byte) error {
					if !bytes.Equal(k, bytes.Repeat([]byte{7}, 32)) {
						t.Errorf("half a key: %x", k)
					}
					return nil
				})
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
				}
				if i == 0 {
					_ = s.Close()
				}
			}
		})
	}
	wg.Wait()
	// Close between the question whether the session is open and the key.
	s = querySession()
	s.keys[VerbQuery].Destroy()
	if err := s.WithKey(VerbQuery, use); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestSessionNeverPrintsItsKeys(t *testing.T) {
	t.Parallel()
	for _, s := range []*Session{querySession(), bucketSession()} {
		out := fmt.Sprintf("%v %+v %#v %s", s, s, s, s)
		b, err := json.Marshal(s) //lint:ignore SA9005 that it says nothing is what is tested
		if strings.Contains(out+string(b), "hunter2") || strings.Contains(out, strings.Repeat("7 ", 8)) || strings.Contains(out, strings.Repeat("0x7, ", 8)) {
			t.Errorf("%s %s %v", out, b, err)
		}
		if err == nil && string(b) != "{}" {
			t.Errorf("a session marshals: %s", b)
		}
	}
}
