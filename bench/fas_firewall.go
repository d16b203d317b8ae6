package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

const fasFirewallIntro = "`assumeown/socket` is the time from a front end's question to its session, over a unix socket that the firewall listens on: signature, " +
	"Cedar, replay store, unwrapped key, audit record; 2,000 calls a second, each signed and new, begun when they are due whether or not others have ended. " +
	"Front end and firewall share a process there, and are two in `assumeown/processes`, where on two idle cores most of the time is that of waking each other. " +
	"The peer is `net/http` with keep-alive over such a socket, in one process and in two, which reads and writes as many bytes and does nothing. " +
	"`replay/bytes` is what the heap grows by for one of a million remembered signatures; the peer is the map that one would write first. "

const (
	askPerSecond = 2000
	askAnswer    = 700 // about the bytes of an answer
)

// asked is a firewall that a front end can ask, in a directory of its own.
type asked struct {
	dir  string
	key  firewalld.AccessKey
	gate *fas.Client
	row  tenant.CustomizationID
	stop func() error
}

func newAsked(ctx context.Context, start starter) (a *asked, err error) {
	a = &asked{}
	if a.dir, err = os.MkdirTemp("", "bench-fas"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	key := random(32)
	if err := os.WriteFile(filepath.Join(a.dir, askedRoot), key, 0o600); err != nil {
		return a, err
	}
	if a.stop, err = start(ctx, "_firewall", a.dir); err != nil {
		return a, err
	}
	home, root := filepath.Join(a.dir, askedHome), tenant.NewSecret(key)
	acme, err := firewalld.AddTenant(home, root, tenant.Text{})
	if err == nil {
		a.key, err = firewalld.AddUser(home, root, acme, tenant.Text{}, true)
	}
	if err != nil {
		return a, err
	}
	c, err := net.Dial("unix", filepath.Join(a.dir, askedSocket))
	if err != nil {
		return a, err
	}
	if a.gate, err = fas.Dial(c.(*net.UnixConn)); err != nil {
		return a, err
	}
	return a, a.activate(ctx)
}

// activate makes a customization that the key's user may query.
func (a *asked) activate(ctx context.Context) error {
	own := func(op string) (*fas.Catalog, error) {
		ev, err := a.sign(op)
		if err != nil {
			return nil, err
		}
		s, err := a.gate.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: a.row})
		return a.gate.Catalog(s), err
	}
	k, err := own("CreateCustomization")
	if err != nil {
		return err
	}
	row, ticket, err := k.Create(ctx, fas.CreateInput{})
	if err != nil {
		return err
	}
	a.row = row.Customization
	if err := errors.Join(a.gate.Register(ctx, ticket, [32]byte{1}), a.gate.Finish(ctx, ticket, 5)); err != nil {
		return err
	}
	up, err1 := own("UpdateCustomization")
	share, err2 := own("AssociateCustomizationPermission")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return errors.Join(up.Activate(ctx, a.row, 0), share.Share(ctx, a.row, a.key.User))
}

// sign is one call as a front end has it; each is another.
func (a *asked) sign(op string) (fas.Evidence, error) {
	body := []byte(`{"nonce":"` + rand.Text() + `"}`)
	r, err := http.NewRequest(http.MethodPost, "http://service.local/"+op, bytes.NewReader(body))
	if err != nil {
		return fas.Evidence{}, err
	}
	err = sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: a.key.AccessKeyID, Secret: tenant.NewSecret([]byte(a.key.SecretAccessKey)), Region: "us-east-1", Service: "codewhisperer"}, time.Now())
	if err != nil {
		return fas.Evidence{}, err
	}
	r.RequestURI = r.URL.RequestURI()
	ev, _, err := sigv4.Capture(r, 1<<20)
	if err != nil {
		return fas.Evidence{}, err
	}
	return fas.SigV4Evidence(ev)
}

func (a *asked) close() (err error) {
	if a.gate != nil {
		err = a.gate.Close()
	}
	if a.stop != nil {
		err = errors.Join(err, a.stop())
	}
	return errors.Join(err, os.RemoveAll(a.dir))
}

// ask gets one session, opens its key, and ends it.
func (a *asked) ask(ctx context.Context, ev fas.Evidence) error {
	s, err := a.gate.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: a.row})
	if err != nil {
		return err
	}
	if !s.Allows(fas.VerbQuery) || s.Customization() != a.row {
		return errVerdict
	}
	return s.Close()
}

// beaten begins n calls as they are due, whether or not others have ended, and
// returns their microseconds.
func beaten(ctx context.Context, n int, call func(i int) error) (took []float64, err error) {
	due, stop, err := startPiped(ctx, "_beat", "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	took = make([]float64, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		if _, err := due.Read(make([]byte, 1)); err != nil {
			return nil, err
		}
		begin := time.Now()
		wg.Go(func() {
			errs[i] = call(i)
			took[i] = float64(time.Since(begin)) / 1e3
		})
	}
	wg.Wait()
	return took, errors.Join(errs...)
}

// silent is a client of a process that answers as many bytes and does nothing
// for them.
func silent(ctx context.Context, start starter, dir string) (ask func(body []byte) error, stop func() error, err error) {
	if stop, err = start(ctx, "_silent", dir); err != nil {
		return nil, nil, err
	}
	c := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, "silent"))
	}}}
	ask = func(body []byte) error {
		res, err := c.Post("http://firewall/v1/assume-own", "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, res.Body)
		if n != askAnswer {
			err = errors.Join(err, errVerdict)
		}
		return errors.Join(err, res.Body.Close())
	}
	return ask, stop, nil
}

func firewallRows(ctx context.Context, quick bool) (rows []row, err error) {
	for _, w := range []struct {
		name  string
		start starter
	}{{"assumeown/socket", startHere}, {"assumeown/processes", startRole}} {
		rs, err := askedRows(ctx, quick, w.name, w.start)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		rows = append(rows, rs...)
	}
	memory, err := replayBytes(ctx)
	return append(rows, memory), err
}

func askedRows(ctx context.Context, quick bool, name string, start starter) (rows []row, err error) {
	rounds, n := 7, 6000
	if quick {
		rounds, n = 2, 2000
	}
	a, err := newAsked(ctx, start)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	forged, err := a.sign("CreateCustomization")
	if err != nil {
		return nil, err
	}
	if err := a.ask(ctx, forged); err == nil {
		return nil, fmt.Errorf("another operation's signature: %w", errVerdict)
	}
	quiet, stop, err := silent(ctx, start, a.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var took [2][]float64
	err = turns(ctx, 2, rounds, func(i int) error {
		calls := make([]fas.Evidence, n)
		for k := range calls {
			if calls[k], err = a.sign("GetRetrievals"); err != nil {
				return err
			}
		}
		raw, err := calls[0].MarshalBinary()
		if err != nil {
			return err
		}
		runtime.GC()
		got, err := beaten(ctx, n, func(k int) error {
			if i == 1 {
				return quiet(raw)
			}
			return a.ask(ctx, calls[k])
		})
		took[i] = append(took[i], got...)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		r, err := newRow(name+" "+q.name, "µs", "fas at 2,000/s", quantile(took[0], q.q), "net/http, same bytes, no work", quantile(took[1], q.q))
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// replayBytes is what a million entries cost.
func replayBytes(ctx context.Context) (row, error) {
	const n = 1_000_000
	now := time.Now()
	key := func(i int) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))) }
	store, err := fas.MemoryReplay(2 * n)
	if err != nil {
		return row{}, err
	}
	ours, err := grows(n, func(i int) error {
		_, fresh, err := store.Claim(ctx, key(i), now, now.Add(5*time.Minute))
		if err == nil && !fresh {
			err = errVerdict
		}
		return err
	})
	if err != nil {
		return row{}, err
	}
	for _, i := range []int{0, n / 2, n - 1} {
		if _, fresh, err := store.Claim(ctx, key(i), now, now.Add(5*time.Minute)); fresh || err != nil {
			return row{}, errors.Join(errVerdict, err)
		}
	}
	naive := map[string]time.Time{}
	peer, err := grows(n, func(i int) error {
		k := key(i)
		naive[string(k[:])] = now
		return nil
	})
	if err != nil || len(naive) != n {
		return row{}, errors.Join(errVerdict, err)
	}
	runtime.KeepAlive(store)
	return newRow("replay/bytes", "B an entry", "fas.MemoryReplay", ours, "map[string]time.Time", peer)
}

// grows returns by how many bytes the heap grows for each of n.
func grows(n int, add func(i int) error) (float64, error) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range n {
		if err := add(i); err != nil {
			return 0, err
		}
	}
	return float64(heap()-before) / float64(n), nil
}
