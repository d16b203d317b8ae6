package fas_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

func text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// A frame that is none ends its connection, and no other.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, raw := range map[string]string{
		"too large":               "\x00\x10\x00\x01",
		"far too large":           "\xff\xff\xff\xff",
		"empty":                   "\x00\x00\x00\x00",
		"not JSON":                "\x00\x00\x00\x01x",
		"half of an object":       "\x00\x00\x00\x01{",
		"an array":                "\x00\x00\x00\x02[]",
		"two objects":             "\x00\x00\x00\x04{}{}",
		"a number for an op":      "\x00\x00\x00\x08{\"op\":1}",
		"bytes that are not text": "\x00\x00\x00\x02\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.connect()
			if !alive(c) {
				t.Fatal("control: the connection does not answer")
			}
			if _, err := c.Write([]byte(raw)); err != nil {
				t.Fatal(err)
			}
			if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if out, err := receive(c); !errors.Is(err, io.EOF) {
				t.Errorf("%v, %v", out, err)
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		whole := message([]byte(`{"op":"unfinished"}`))
		for n := range whole {
			c := w.connect()
			if _, err := c.Write(whole[:n]); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if out, err := receive(c); !errors.Is(err, io.EOF) {
				t.Errorf("%d bytes: %v, %v", n, out, err)
			}
		}
	})
	t.Run("in pieces", func(t *testing.T) {
		t.Parallel()
		c := w.connect()
		for _, b := range append(message([]byte(`{"op":"unfinished"}`)), message([]byte(`{"op":"x"}`))...) {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		first, err1 := receive(c)
		second, err2 := receive(c)
		if err := errors.Join(err1, err2); err != nil || first["error"] != nil || second["error"] != "operation" {
			t.Errorf("%v, %v, %v", first, second, err)
		}
	})
	t.Run("as large as allowed", func(t *testing.T) {
		t.Parallel()
		body := `{"op":"x","reason":"` + strings.Repeat("x", 1<<20-22) + `"}`
		if out, err := frame(w.connect(), []byte(body)); len(body) != 1<<20 || err != nil || out["error"] != "operation" {
			t.Errorf("%d bytes: %v, %v", len(body), out, err)
		}
	})
}

// Peers that say half a word, or read no answer, hold up nobody and no end.
func TestHangingPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 8)
	for i := range 8 {
		mine, theirs := sockets(t)
		defer mine.Close()
		go func() { ended <- w.srv.Serve(ctx, theirs) }()
		if i%2 == 0 {
			if _, err := mine.Write([]byte("\x00\x00\x00")); err != nil {
				t.Fatal(err)
			}
			continue
		}
		// It asks until the socket is full of answers that it does not read.
		_ = mine.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		for err := error(nil); err == nil; {
			_, err = mine.Write(message([]byte(`{"op":"x"}`)))
		}
	}
	if !alive(w.connect()) {
		t.Error("others are held up")
	}
	cancel()
	for range 8 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a hanging peer is served after the end")
		}
	}
}

func send(t *testing.T, c *net.UnixConn, body string, fds ...int) {
	t.Helper()
	if _, _, err := c.WriteMsgUnix(message([]byte(body)), syscall.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
}

// Descriptors that nobody asked for are closed; the number of the firewall's
// own does not grow by what peers send.
func TestDescriptors(t *testing.T) {
	w := newWorld(t)
	r, wr, err := os.Pipe()
	w.ok(err)
	defer wr.Close()
	defer r.Close()
	// A pipe tells whether anybody still holds its other end.
	held := func() bool {
		_ = r.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := r.Read(make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	if !held() {
		t.Fatal("control: this test holds the end itself")
	}
	c := w.connect()
	for _, body := range []string{`{"op":"unfinished"}`, `{"op":"x"}`, `{"op":"attach"}`, `{"op":"more"}`} {
		send(t, c, body, int(wr.Fd()))
		if out, err := receive(c); err != nil || body != `{"op":"unfinished"}` && out["error"] == nil {
			t.Errorf("%s: %v, %v", body, out, err)
		}
	}
	two := w.connect()
	send(t, two, `{"op":"attach"}`, int(wr.Fd()), int(wr.Fd()))
	if out, err := receive(two); !errors.Is(err, io.EOF) {
		t.Errorf("two descriptors: %v, %v", out, err)
	}
	drip := w.connect()
	half := message([]byte(`{"op":"attach"}`))
	for i := range half {
		if _, _, err := drip.WriteMsgUnix(half[i:i+1], syscall.UnixRights(int(wr.Fd())), nil); err != nil {
			break // the firewall has hung up
		}
	}
	if out, err := receive(drip); !errors.Is(err, io.EOF) {
		t.Errorf("a descriptor with every byte: %v, %v", out, err)
	}
	if err := wr.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); held(); {
		if time.Now().After(end) {
			t.Fatal("the firewall keeps descriptors that it did not ask for")
		}
	}
	if !alive(c) {
		t.Error("the connection no longer answers")
	}
}

// Attach and more need a socket, and get what they are.
func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.connect()
	for _, op := range []string{"attach", "more"} {
		if out, err := frame(c, []byte(`{"op":"`+op+`"}`)); err != nil || out["error"] != "role" {
			t.Errorf("%s without a descriptor: %v, %v", op, out, err)
		}
		f, err := os.Open(os.DevNull)
		w.ok(err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		w.ok(err)
		tcp, err := l.(*net.TCPListener).File()
		w.ok(err)
		for name, fd := range map[string]*os.File{"a file": f, "a TCP socket": tcp} {
			send(t, c, `{"op":"`+op+`"}`, int(fd.Fd()))
			if out, err := receive(c); err != nil || out["error"] != "role" {
				t.Errorf("%s with %s: %v, %v", op, name, out, err)
			}
		}
		_, _, _ = f.Close(), tcp.Close(), l.Close()
	}
	mine, theirs := sockets(t)
	defer mine.Close()
	f, err := theirs.File()
	w.ok(err)
	send(t, c, `{"op":"more"}`, int(f.Fd()))
	_, _ = f.Close(), theirs.Close()
	if out, err := receive(c); err != nil || out["error"] != nil || !alive(mine) {
		t.Errorf("control: %v, %v", out, err)
	}
}

// A worker's connection refuses every call but two, whatever else is in it.
func TestWorkerConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	row, ticket := w.create()
	list, err := w.own("ListCustomizations", tenant.CustomizationID{})
	w.ok(err)
	f, err := w.c.Attach(context.Background())
	w.ok(err)
	nc, err := net.FileConn(f)
	w.ok(errors.Join(err, f.Close()))
	c := nc.(*net.UnixConn)
	defer c.Close()
	ev, err := w.evidence("ListCustomizations", time.Now()).MarshalBinary()
	w.ok(err)
	for _, op := range []string{"assume-own", "attach", "more", "register", "finish", "abandon", "unfinished", "report", "removed", "revoke", "version",
		"catalog.create", "catalog.update", "catalog.activate", "catalog.deactivate", "catalog.delete", "catalog.list", "catalog.get", "catalog.share", "catalog.unshare", "catalog.shares",
		"", "Redeem", "redeem ", "session"} {
		b, err := json.Marshal(map[string]any{"op": op, "ticket": ticket.Sealed, "session": list.ID(), "target": row.Customization,
			"request": map[string]any{"request_id": tenant.NewRequestID()}, "manifest": make([]byte, 32), "create": map[string]any{}, "source": "s3://x/y/"})
		w.ok(err)
		if out, err := frame(c, withEvidence(b, ev)); err != nil || out["error"] != "role" {
			t.Errorf("%q: %v, %v", op, out, err)
		}
	}
	for _, op := range []string{"attach", "more"} {
		mine, theirs := sockets(t)
		f, err := theirs.File()
		w.ok(err)
		send(t, c, `{"op":"`+op+`"}`, int(f.Fd()))
		if out, err := receive(c); err != nil || out["error"] != "role" {
			t.Errorf("%s with a socket: %v, %v", op, out, err)
		}
		_, _, _ = mine.Close(), theirs.Close(), f.Close()
	}
	open := func(ticket fas.Ticket) any {
		out, err := frame(c, []byte(`{"op":"redeem","verb":"stage","ticket":"`+text(ticket.Sealed)+`"}`))
		w.ok(err)
		return out["error"]
	}
	if got := open(ticket); got != nil {
		t.Errorf("control: %v", got)
	}
	_, second := w.create()
	if got := open(second); got != "ticket" {
		t.Errorf("a second ticket: %v", got)
	}
	if got := open(ticket); got != nil {
		t.Errorf("the first ticket again: %v", got)
	}
	if !slices.Contains(w.rec.reasons(), "another-ticket") || !slices.Contains(w.rec.reasons(), "a-workers-connection") {
		t.Errorf("recorded: %v", w.rec.reasons())
	}
}

// What cannot be read is refused by its name, and stands in a real log.
func TestMalformedCallsAreRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := audit.Open(dir+"/audit", nil)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := firewalld.Open(dir+"/wall", tenant.NewSecret(bytes.Repeat([]byte{9}, 32)), log, &firewalld.Options{Operations: operations})
	if err != nil {
		t.Fatal(err)
	}
	c, theirs := sockets(t)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), theirs) }()
	calls := []struct{ body, answer, reason string }{
		{`{"op":"assume-own"}`, "denied", "malformed-evidence"},
		{`{"op":"exchange"}` + "\x00{}", "denied", "malformed-evidence"},
		{`{"op":"assume-own","target":"cus-x"}`, "denied", "malformed-target"},
		{`{"op":"redeem","verb":"stage","ticket":"AAAA"}`, "ticket", "bad-ticket"},
		{`{"op":"redeem","ticket":"","verb":"` + strings.Repeat("x", 2000) + `"}`, "ticket", "bad-ticket"},
		{`{"op":"register","manifest":"AAAA"}`, "ticket", "malformed-digest"},
		{`{"op":"register","manifest":"` + text(make([]byte, 32)) + `"}`, "ticket", "bad-ticket"},
		{`{"op":"finish"}`, "ticket", "bad-ticket"},
		{`{"op":"abandon"}`, "ticket", "bad-ticket"},
		{`{"op":"removed"}`, "ticket", "bad-ticket"},
		{`{"op":"attach"}`, "role", "no-socket"},
		{`{"op":"catalog.list"}`, "closed", "malformed-session"},
		{`{"op":"catalog.list","session":"` + tenant.NewSessionID().String() + `"}`, "closed", "no-session"},
		{`{"op":"catalog.create","create":{},"session":"` + tenant.NewSessionID().String() + `"}`, "closed", "no-session"},
		{`{"op":"catalog.everything","session":"` + tenant.NewSessionID().String() + `"}`, "operation", "unknown-call"},
		{`{"op":"version"}` + "\x00x", "denied", "malformed-call"},
		{`{"op":"mint"}`, "operation", "unknown-call"},
		{`{}`, "operation", "unknown-call"},
	}
	for _, k := range calls {
		if out, err := frame(c, []byte(k.body)); err != nil || out["error"] != k.answer || len(out) != 1 {
			t.Errorf("%s: %v, %v", k.body, out, err)
		}
	}
	// What is no message at all ends its connection, and is on record too.
	long := string(binary.BigEndian.AppendUint32(nil, 1<<20+1))
	for _, m := range []string{string(message([]byte("not JSON"))), string(message([]byte(`{"op":5}`))), string(message([]byte("\x00sigv4\n{}"))), long} {
		mine, other := sockets(t)
		go func() { served <- srv.Serve(context.Background(), other) }()
		if _, err := mine.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err == nil {
			t.Errorf("%q is served", m)
		}
		if out, err := receive(mine); !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v, %v", m, out, err)
		}
		_ = mine.Close()
		calls = append(calls, struct{ body, answer, reason string }{m, "", "malformed-call"})
	}
	if err := errors.Join(c.Close(), <-served, srv.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, err := range audit.Read(dir + "/audit") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Decision == audit.Deny {
			got = append(got, e.Reason)
		}
	}
	for i, k := range calls {
		if i >= len(got) || got[i] != k.reason {
			t.Fatalf("call %d, %s, wants %s; recorded are %v", i, k.body, k.reason, got)
		}
	}
}

// Frames of whoever reached the socket: without evidence and tickets of this
// firewall they grant nothing, and what they break is their own connection.
func FuzzCall(f *testing.F) {
	w := newWorld(f)
	other := newWorld(f)
	row, _ := w.create()
	_, foreign := other.create()
	ev, err := other.evidence("ListCustomizations", time.Now()).MarshalBinary()
	w.ok(err)
	for _, m := range []map[string]any{
		{"op": "assume-own", "request": map[string]any{"request_id": tenant.NewRequestID()}},
		{"op": "exchange", "target": row.Customization, "request": map[string]any{"request_id": tenant.NewRequestID(), "profile": firewalld.SourceProfile, "scope": []byte("{}")}},
		{"op": "redeem", "ticket": foreign.Sealed, "verb": "stage"},
		{"op": "register", "ticket": foreign.Sealed, "manifest": make([]byte, 32)},
		{"op": "finish", "ticket": foreign.Sealed, "score": 1.5},
		{"op": "abandon", "ticket": foreign.Sealed, "reason": "x"},
		{"op": "removed", "ticket": foreign.Sealed},
		{"op": "revoke", "revoke": map[string]any{"tenant": w.tenant}}, {"op": "revoke", "revoke": map[string]any{"session": tenant.NewSessionID(), "at": time.Now()}},
		{"op": "version"}, {"op": "unfinished", "after": row.Customization}, {"op": "catalog.list", "session": tenant.NewSessionID(), "after": row.Customization},
		{"op": "report", "reason": "x"}, {"op": "unfinished"}, {"op": "attach"}, {"op": "more"},
		{"op": "catalog.create", "session": tenant.NewSessionID(), "create": map[string]any{"name": "x"}},
		{"op": "catalog.update", "session": tenant.NewSessionID(), "target": row.Customization, "source": "s3://a/b/"},
		{"op": "catalog.share", "session": tenant.NewSessionID(), "target": row.Customization, "user": tenant.NewUserID()},
		{"op": "catalog.get", "session": tenant.NewSessionID(), "target": row.Customization},
	} {
		b, err := json.Marshal(m)
		w.ok(err)
		f.Add(b)
		f.Add(withEvidence(b, ev))
	}
	f.Add([]byte(`{"op":"catalog.list","session":null,"request":{"ttl":-1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		mine, theirs := sockets(t)
		defer mine.Close()
		ended := make(chan error, 1)
		go func() { ended <- w.srv.Serve(w.ctx, theirs) }()
		out, err := frame(mine, body)
		var said struct {
			Op string `json:"op"`
		}
		switch {
		case errors.Is(err, io.EOF): // no call
		case err != nil:
			t.Fatalf("%s: %v", body, err)
		case out["error"] == nil:
			text, _, _ := bytes.Cut(body, []byte{0})
			_ = json.Unmarshal(text, &said)
			if said.Op != "report" && said.Op != "unfinished" && said.Op != "version" || out["session"] != nil || out["ticket"] != nil || out["row"] != nil || out["rows"] != nil {
				t.Fatalf("%s was granted %v", body, out)
			}
		case len(out) != 1:
			t.Fatalf("%s was refused with %v", body, out)
		default:
			if !alive(mine) {
				t.Fatalf("after %s the connection answers nothing", body)
			}
		}
		if err := mine.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatalf("%s: served after its end", body)
		}
		if rows, err := w.c.Unfinished(w.ctx); err != nil || len(rows) != 1 || rows[0].Customization != row.Customization {
			t.Fatalf("after %s the registry has %v, %v", body, rows, err)
		}
	})
}
