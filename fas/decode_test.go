package fas

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// sockets returns the two ends of a pair.
func sockets(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fa, fb, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer fa.Close()
	defer fb.Close()
	ca, err := net.FileConn(fa)
	if err != nil {
		t.Fatal(err)
	}
	cb, err := net.FileConn(fb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ca.Close(); _ = cb.Close() })
	return ca.(*net.UnixConn), cb.(*net.UnixConn)
}

// wireSession is a session as it travels, whole or not.
type wireSession struct {
	ID, Tenant, User, Customization, Collection, Snapshot string

	Manifest []byte
	Version  int
	Verbs    []Verb
	Expires  time.Time
	Keys     []wireKey
	Creds    [][]string // access key, token, bucket, prefix, secret
	Rest     []byte
}

type wireKey struct {
	verb Verb
	key  []byte
}

func (w *wireSession) encode() (b []byte) {
	text := func(all ...string) {
		for _, s := range all {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	text(w.ID, w.Tenant, w.User, w.Customization, w.Collection, w.Snapshot)
	b = append(b, w.Manifest...)
	for _, n := range []int64{int64(w.Version), w.Expires.Unix(), int64(w.Expires.Nanosecond()), int64(len(w.Verbs))} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, v := range w.Verbs {
		text(string(v))
	}
	b = binary.AppendUvarint(append(b, 0), uint64(len(w.Keys))) // no spans
	for _, k := range w.Keys {
		text(string(k.verb), string(k.key))
	}
	b = binary.AppendUvarint(b, uint64(len(w.Creds)))
	for _, c := range w.Creds {
		text(c...)
	}
	return append(b, w.Rest...)
}

func answer(t testing.TB, change func(*wireSession)) []byte {
	t.Helper()
	w := &wireSession{ID: tenant.NewSessionID().String(), Tenant: tenant.NewID().String(), User: tenant.NewUserID().String(),
		Customization: tenant.NewCustomizationID().String(), Collection: tenant.NewCollectionID().String(), Snapshot: tenant.NewSnapshotID().String(),
		Manifest: bytes.Repeat([]byte{5}, 32), Version: 3, Verbs: []Verb{VerbQuery}, Expires: time.Now().Add(time.Minute).UTC(),
		Keys: []wireKey{{VerbQuery, bytes.Repeat([]byte{7}, 32)}}}
	if change != nil {
		change(w)
	}
	return append([]byte("{}\x00"), w.encode()...)
}

// against runs one call against a peer that answers with these bytes.
func against(t testing.TB, body []byte, do func(*Client) error) error {
	t.Helper()
	a, b := sockets(t)
	defer a.Close()
	defer b.Close()
	go func() {
		var in call
		s := newStream(b)
		_ = b.SetDeadline(time.Now().Add(time.Minute))
		if _, err := s.receive(&in); err == nil {
			_, _ = b.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
		}
	}()
	c, err := DialWorker(a)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return do(c)
}

func redeem(t testing.TB, body []byte) (s *Session, err error) {
	t.Helper()
	err = against(t, body, func(c *Client) (err error) {
		s, err = c.Redeem(context.Background(), Ticket{}, VerbQuery)
		return err
	})
	return s, err
}

// A session that is not whole is none.
func TestHalfSessionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*wireSession){
		"no ID":                 func(w *wireSession) { w.ID = "" },
		"a bad ID":              func(w *wireSession) { w.ID = "ses-1" },
		"no tenant":             func(w *wireSession) { w.Tenant = "" },
		"a user for the tenant": func(w *wireSession) { w.Tenant = w.User },
		"a bad user":            func(w *wireSession) { w.User = "me" },
		"a bad customization":   func(w *wireSession) { w.Customization = "../x" },
		"a bad collection":      func(w *wireSession) { w.Collection = w.Snapshot },
		"a bad snapshot":        func(w *wireSession) { w.Snapshot = w.Collection },
		"no manifest":           func(w *wireSession) { w.Manifest = nil },
		"a short manifest":      func(w *wireSession) { w.Manifest = w.Manifest[1:] },
		"a long manifest":       func(w *wireSession) { w.Manifest = append(w.Manifest, 1) },
		"no verbs":              func(w *wireSession) { w.Verbs = nil },
		"no key in the key":     func(w *wireSession) { w.Keys[0].key = nil },
		"a short key":           func(w *wireSession) { w.Keys[0].key = make([]byte, 16) },
		"a key twice":           func(w *wireSession) { w.Keys = append(w.Keys, w.Keys[0]) },
		"half of credentials":   func(w *wireSession) { w.Creds = [][]string{{"ASIA", "t"}} },
		"an empty secret":       func(w *wireSession) { w.Creds = [][]string{{"ASIA", "t", "b", "p/", ""}} },
		"two credentials":       func(w *wireSession) { w.Creds = [][]string{{"A", "t", "b", "p/", "s"}, {"B", "t", "b", "p/", "s"}} },
		"something behind it":   func(w *wireSession) { w.Rest = []byte{0} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s, err := redeem(t, answer(t, change)); !errors.Is(err, ErrInternal) || s != nil {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
	for name, body := range map[string]string{"nothing": ``, "null": `null`, "an empty answer": `{}`, "an array": `[]`, "two answers": `{}{}`, "half of one": `{"session":`, "an empty session": "{}\x00"} {
		if s, err := redeem(t, []byte(body)); !errors.Is(err, ErrInternal) || s != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	s, err := redeem(t, answer(t, nil))
	if err != nil || s.Err() != nil || s.Version() != 3 || s.Manifest() != [32]byte(bytes.Repeat([]byte{5}, 32)) {
		t.Errorf("%v, %v", s, err)
	}
	// Expiry is the session's own matter: it is asked at every use.
	s, err = redeem(t, answer(t, func(w *wireSession) { w.Expires = time.Time{} }))
	if err != nil || !errors.Is(s.WithKey(VerbQuery, use), ErrExpired) {
		t.Errorf("%v, %v", s, err)
	}
}

// Errors keep their name across the socket, and no text comes with them.
func TestErrorsCrossTheSocket(t *testing.T) {
	t.Parallel()
	for name, want := range wireErrors {
		if got := errorName(errors.Join(errors.New("of tenant X"), want)); got != name {
			t.Errorf("%v is called %q", want, got)
		}
		_, err := redeem(t, []byte(`{"error":"`+name+`"}`))
		if !errors.Is(err, want) || err.Error() != want.Error() {
			t.Errorf("%q became %v", name, err)
		}
	}
	for _, name := range []string{"internal", "Denied", "an invention of a server", "\u0000"} {
		b, err := json.Marshal(reply{Error: name})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := redeem(t, b); !errors.Is(err, ErrInternal) || s != nil {
			t.Errorf("%q became %v", name, err)
		}
		err = against(t, b, func(c *Client) error { return c.Finish(context.Background(), Ticket{}, 1) })
		if !errors.Is(err, ErrInternal) {
			t.Errorf("%q, where nothing else is answered, became %v", name, err)
		}
	}
	if got := errorName(errors.New("the disk of tenant X is full")); got != "internal" {
		t.Errorf("an unknown error is called %q", got)
	}
	// A refusal that brings a session along is a refusal.
	b := bytes.Replace(answer(t, nil), []byte(`{`), []byte(`{"error":"denied"`), 1)
	if s, err := redeem(t, b); !errors.Is(err, ErrDenied) || s != nil {
		t.Errorf("%v, %v", s, err)
	}
}

// Whatever a server answers, a caller has a whole value or an error. A session
// that is accepted is the same one when it is encoded and decoded again.
func FuzzAnswer(f *testing.F) {
	good := answer(f, nil)
	f.Add(good)
	f.Add(answer(f, func(w *wireSession) {
		w.Keys, w.Creds = nil, [][]string{{"ASIA", "t", "b", "p/", "s"}}
	}))
	for _, s := range []string{`{"error":"denied"}`, `{"error":"x"}`, `{}`, `null`, `{"row":{},"ticket":{}}`, `{"row":null,"ticket":null}`, `{"rows":[{"state":1}]}`,
		`{"users":["usr-1"]}`, `{"open":[{"ticket":"AA=="}]}`, "{}\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", `{"row":{"name":"\ud800"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		known := func(err error) bool {
			for _, e := range wireErrors {
				if errors.Is(err, e) {
					return true
				}
			}
			return errors.Is(err, ErrInternal)
		}
		s, err := redeem(t, body)
		switch {
		case err != nil:
			if s != nil || !known(err) {
				t.Fatalf("%v, %v", s, err)
			}
		default:
			if s.ID().IsZero() || s.Tenant().IsZero() || len(s.verbs) == 0 {
				t.Fatalf("%+v", s)
			}
			for v := range s.keys {
				if err := s.WithKey(v, func(k []byte) error {
					if len(k) != 32 {
						t.Errorf("a key of %d bytes", len(k))
					}
					return nil
				}); err != nil && !errors.Is(err, ErrVerb) && !errors.Is(err, ErrExpired) {
					t.Fatal(err)
				}
			}
			once := s.encode()
			again, err := decodeSession(once)
			if err != nil {
				t.Fatalf("%q does not decode again: %v", once, err)
			}
			if b := again.encode(); !bytes.Equal(once, b) {
				t.Fatalf("%q\nbecame\n%q", once, b)
			}
		}
		ctx, open := context.Background(), querySession()
		for _, do := range []func(*Client) error{
			func(c *Client) error { _, err := c.Unfinished(ctx); return err },
			func(c *Client) error { _, _, err := c.Catalog(open).Create(ctx, CreateInput{}); return err },
			func(c *Client) error { _, err := c.Catalog(open).Delete(ctx, tenant.NewCustomizationID()); return err },
			func(c *Client) error { _, err := c.Catalog(open).Get(ctx, tenant.NewCustomizationID()); return err },
			func(c *Client) error { _, err := c.Catalog(open).List(ctx); return err },
			func(c *Client) error {
				_, err := c.Catalog(open).Shares(ctx, tenant.NewCustomizationID())
				return err
			},
		} {
			if err := against(t, body, do); err != nil && !known(err) {
				t.Fatal(err)
			}
		}
	})
}
