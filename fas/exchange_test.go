package fas_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// shelf is a store of profiles.
type shelf struct {
	mu sync.Mutex
	m  map[string]*profile.Verified
}

func (s *shelf) Get(id string) (*profile.Verified, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.m[id]; v != nil {
		return v, nil
	}
	return nil, profile.ErrUnknown
}

func (s *shelf) All() (out []*profile.Verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.m {
		out = append(out, v)
	}
	return out
}

func (s *shelf) put(v *profile.Verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[string]*profile.Verified{}
	}
	s.m[v.Profile().ID] = v
}

// sourceBody names the source that the tests' scopes lie in.
const sourceBody = `{"dataReference":{"s3Reference":{"uri":"s3://acme/src/"}}}`

// signProfile approves a profile with three fresh keys.
func signProfile(t testing.TB, change func(*profile.Profile)) *profile.Verified {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	p := profile.Profile{ID: "source", Version: 1, Operations: []string{"/CreateCustomization"}, Callers: []string{profile.AnyCaller},
		Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}]}`),
		Bind:  "/dataReference/s3Reference/uri", TTL: 600, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)}
	if change != nil {
		change(&p)
	}
	env, err := profile.New(p)
	ring := profile.Keyring{}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, kerr := ed25519.GenerateKey(nil)
		k, perr := profile.Ed25519(public)
		if err = errors.Join(err, kerr, perr); err == nil {
			ring[r] = []profile.Key{k}
			env, err = profile.Sign(env, tenant.NewSecret(private.Seed()))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := profile.Load(env, ring, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// exchanges is a firewall with a shelf of profiles and a scheme whose claims a
// test makes.
type exchanges struct {
	*world
	shelf *shelf
	stub  *stub
	row   tenant.CustomizationID
}

func newExchanges(t testing.TB) *exchanges {
	x := &exchanges{shelf: &shelf{}, stub: &stub{}}
	x.world = newWorldWith(t, func(o *firewalld.Options) {
		o.Profiles = x.shelf
		o.Verifiers = map[tenant.Method]fas.Verifier{"stub": x.stub}
		o.Operations = append(o.Operations[:len(o.Operations):len(o.Operations)],
			fas.Operation{Path: "/buckets/{bucket}/import", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}})
	})
	row, _ := x.create()
	x.row = row.Customization
	return x
}

// ask exchanges a call of the stub's scheme.
func (x *exchanges) ask(c *fas.Client, change func(*fas.Claim), scope string) (*fas.Session, error) {
	x.stub.mu.Lock()
	x.stub.id = fas.Identity{Tenant: x.tenant, User: x.key.User}
	cl := someClaim()
	cl.Path, cl.Body, cl.Level = "/CreateCustomization", []byte(sourceBody), fas.LevelBody
	cl.Once[31], cl.Once[30] = byte(x.n.Add(1)), byte(x.n.Load()>>8)
	if change != nil {
		change(&cl)
	}
	x.stub.claim = cl
	x.stub.mu.Unlock()
	ev, err := fas.NewEvidence("stub", []byte("good"), someClaim())
	x.ok(err)
	if scope == "" {
		scope = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme/src/*"}]}`
	}
	return c.Exchange(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: x.row, Profile: "source", Scope: []byte(scope)})
}

// The bounds of a profile are asked at every exchange, of the profile that is
// in force then.
func TestProfileBounds(t *testing.T) {
	t.Parallel()
	x := newExchanges(t)
	_, err := x.ask(x.c, nil, "")
	x.refused("no profile", err, fas.ErrDenied)
	for name, c := range map[string]struct {
		change func(*profile.Profile)
		claim  func(*fas.Claim)
		want   error
		reason string
	}{
		"other callers":       {func(p *profile.Profile) { p.Callers = []string{"front-end"} }, nil, fas.ErrRole, "not-a-caller-of-the-profile"},
		"another audience":    {func(p *profile.Profile) { p.Audience = "archive" }, nil, fas.ErrDenied, "no-profile"},
		"another operation":   {func(p *profile.Profile) { p.Operations = []string{"/UpdateCustomization"} }, nil, fas.ErrOperation, "operation-not-in-profile"},
		"evidence of no body": {nil, func(c *fas.Claim) { c.Body, c.Level = nil, fas.LevelCanonical }, fas.ErrLevel, "level"},
		"a narrower policy": {func(p *profile.Profile) {
			p.Allow = json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`)
		}, nil, fas.ErrScope, "scope-exceeds-profile"},
		"another place to look": {func(p *profile.Profile) { p.Bind = "/source" }, nil, fas.ErrScope, "body-names-no-source"},
	} {
		x.shelf.put(signProfile(t, c.change))
		_, err := x.ask(x.c, c.claim, "")
		x.refused(name, err, c.want)
		if got := x.rec.reasons(); got[len(got)-1] != c.reason {
			t.Errorf("%s: recorded as %s", name, got[len(got)-1])
		}
		x.shelf.put(signProfile(t, nil))
		if _, err := x.ask(x.c, nil, ""); err != nil {
			t.Errorf("%s, control: %v", name, err)
		}
	}
	x.shelf.put(signProfile(t, func(p *profile.Profile) { p.Callers = []string{fas.Embedded} }))
	if _, err := x.ask(x.c, nil, ""); err != nil {
		t.Errorf("the pair by its name: %v", err)
	}
}

// One signed call is good for as many exchanges as the profile says, over all
// requests.
func TestMaxExchanges(t *testing.T) {
	t.Parallel()
	x := newExchanges(t)
	for _, most := range []int{1, 3} {
		x.shelf.put(signProfile(t, func(p *profile.Profile) { p.MaxExchanges = most }))
		once := [32]byte{9, byte(most)}
		seen := map[tenant.SessionID]bool{}
		for range most {
			s, err := x.ask(x.c, func(c *fas.Claim) { c.Once = once }, "")
			x.ok(err)
			seen[s.ID()] = true
		}
		if len(seen) != most {
			t.Errorf("%d sessions of %d exchanges", len(seen), most)
		}
		for range 2 {
			_, err := x.ask(x.c, func(c *fas.Claim) { c.Once = once }, "")
			x.refused("one more", err, fas.ErrReplayed)
		}
	}
}

// The source is read where the profile says, from what was signed.
func TestBindings(t *testing.T) {
	t.Parallel()
	x := newExchanges(t)
	header := func(name, value string) func(*fas.Claim) {
		return func(c *fas.Claim) { c.Header = func(n string) (string, bool) { return value, n == name } }
	}
	query := func(q string) func(*fas.Claim) { return func(c *fas.Claim) { c.Query = q } }
	path := func(p string) func(*fas.Claim) { return func(c *fas.Claim) { c.Path = p } }
	body := func(b string) func(*fas.Claim) { return func(c *fas.Claim) { c.Body = []byte(b) } }
	for _, c := range []struct {
		bind   string
		good   func(*fas.Claim)
		others map[string]func(*fas.Claim)
	}{
		{"header:x-source", header("x-source", "s3://acme/src/"), map[string]func(*fas.Claim){
			"no headers": nil, "another header": header("x-other", "s3://acme/src/"), "another bucket": header("x-source", "s3://umbrella/src/"), "no end": header("x-source", "s3://acme/src")}},
		{"query:source", query("a=b&source=s3%3A%2F%2Facme%2Fsrc%2F"), map[string]func(*fas.Claim){
			"no query": nil, "another key": query("Source=s3%3A%2F%2Facme%2Fsrc%2F"), "twice": query("source=s3%3A%2F%2Facme%2Fsrc%2F&source=s3%3A%2F%2Facme%2Fsrc%2F"),
			"another prefix": query("source=s3%3A%2F%2Facme%2Fother%2F"), "not a query": query("source=%zz")}},
		{"path:bucket", path("/buckets/acme/import"), map[string]func(*fas.Claim){
			"another bucket": path("/buckets/umbrella/import"), "every bucket": path("/buckets/*/import"), "an escaped one": path("/buckets/ac%6de/import"), "the pattern": path("/buckets/{bucket}/import")}},
		{"/s", body(`{"s":"s3://acme/src/"}`), map[string]func(*fas.Claim){
			"another place": body(sourceBody), "no string": body(`{"s":1}`), "no object": body(`["s"]`), "no prefix": body(`{"s":"s3://acme/"}`), "no bucket": body(`{"s":"s3:///src/"}`),
			"a pattern": body(`{"s":"s3://acme/*/"}`), "another scheme": body(`{"s":"https://acme/src/"}`), "a variable": body(`{"s":"s3://acme/${aws:username}/"}`)}},
	} {
		x.shelf.put(signProfile(t, func(p *profile.Profile) {
			p.Bind = c.bind
			if c.bind == "path:bucket" {
				p.Operations, p.MinLevel = []string{"/buckets/{bucket}/import"}, profile.LevelCanonical
			}
		}))
		for name, change := range c.others {
			_, err := x.ask(x.c, change, "")
			if !errors.Is(err, fas.ErrScope) && !errors.Is(err, fas.ErrOperation) {
				t.Errorf("%s, %s: %v", c.bind, name, err)
			}
		}
		s, err := x.ask(x.c, c.good, "")
		if err != nil {
			t.Errorf("%s: %v", c.bind, err)
			continue
		}
		if creds, err := s.Credentials(); err != nil || creds.Bucket != "acme" {
			t.Errorf("%s: %+v, %v", c.bind, creds, err)
		}
	}
}

// failing is a replay store that remembers nothing.
type failing struct{ err error }

func (f failing) Claim(context.Context, [32]byte, time.Time, time.Time) (time.Time, bool, error) {
	return time.Time{}, true, f.err
}
func (failing) Durable() bool { return true }

func TestReplayStoreFails(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) { o.Replay = failing{errors.New("no connection")} })
	for _, op := range []string{"ListCustomizations", "CreateCustomization"} {
		_, err := w.own(op, tenant.CustomizationID{})
		w.refused(op, err, fas.ErrReplayed)
	}
	if got := w.rec.reasons(); len(got) != 2 || got[0] != "replay-store" || got[1] != "replay-store" {
		t.Errorf("recorded: %v", got)
	}
	// A durable store has no restart rule: it remembers what was before.
	d := newWorldWith(t, func(o *firewalld.Options) { o.Replay = failing{} })
	_, err := d.c.AssumeOwn(context.Background(), d.evidence("CreateCustomization", time.Now().Add(-2*time.Minute)), fas.Request{RequestID: tenant.NewRequestID()})
	d.ok(err)
	full, err := fas.MemoryReplay(1)
	w.ok(err)
	f := newWorldWith(t, func(o *firewalld.Options) { o.Replay = full })
	_, err = f.own("ListCustomizations", tenant.CustomizationID{})
	f.ok(err)
	_, err = f.own("ListCustomizations", tenant.CustomizationID{})
	f.refused("a full store", err, fas.ErrReplayed)
}

// Lists of callers name who may ask for an operation.
func TestOperationCallers(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) {
		o.Operations = append([]fas.Operation(nil), operations...)
		o.Operations[0].Callers, o.Operations[1].Callers = []string{"front-end"}, []string{"front-end", fas.Embedded}
	})
	_, err := w.own("CreateCustomization", tenant.CustomizationID{})
	w.refused("somebody else's operation", err, fas.ErrRole)
	if got := w.rec.reasons(); got[len(got)-1] != "not-a-caller-of-the-operation" {
		t.Errorf("recorded: %v", got)
	}
	_, err = w.own("ListCustomizations", tenant.CustomizationID{})
	w.ok(err)
}

// A session ends when the approval ends that it is made under.
func TestSessionsEndWithTheirProfile(t *testing.T) {
	t.Parallel()
	x := newExchanges(t)
	end := time.Now().UTC().Truncate(time.Second).Add(90 * time.Second)
	x.shelf.put(signProfile(t, func(p *profile.Profile) { p.NotAfter = end }))
	s, err := x.ask(x.c, nil, "")
	x.ok(err)
	if !s.Expires().Equal(end) {
		t.Errorf("it ends at %s, and the profile at %s", s.Expires(), end)
	}
	x.shelf.put(signProfile(t, nil))
	s, err = x.ask(x.c, nil, "")
	x.ok(err)
	if d := time.Until(s.Expires()); d < 9*time.Minute || d > 10*time.Minute {
		t.Errorf("control: it lives for %s", d)
	}
}

// asked counts what a store is asked.
type asked struct {
	fas.ReplayStore
	n atomic.Int64
}

func (a *asked) Claim(ctx context.Context, key [32]byte, now, until time.Time) (time.Time, bool, error) {
	a.n.Add(1)
	return a.ReplayStore.Claim(ctx, key, now, until)
}

// Evidence that is good many times costs the store one question a use, also when
// it is spent; and what another firewall used counts.
func TestManyExchangesAskOnce(t *testing.T) {
	t.Parallel()
	const times = 50
	m, err := fas.MemoryReplay(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	store, shelf := &asked{ReplayStore: m}, &shelf{}
	shelf.put(signProfile(t, func(p *profile.Profile) { p.MaxExchanges = times }))
	w := newWorldWith(t, func(o *firewalld.Options) { o.Profiles, o.Replay = shelf, store })
	row, _ := w.create()
	ev := w.signed("CreateCustomization", []byte(sourceBody), time.Now())
	ask := func() error {
		_, err := w.c.Exchange(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization, Profile: "source",
			Scope: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme/src/*"}]}`)})
		return err
	}
	before := store.n.Load()
	for range times {
		w.ok(ask())
	}
	w.refused("one more", ask(), fas.ErrReplayed)
	w.refused("and once more", ask(), fas.ErrReplayed)
	if n := store.n.Load() - before; n != times {
		t.Errorf("%d questions for %d uses", n, times)
	}
}
