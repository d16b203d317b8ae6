package firewalld_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// approvers are the three keys that approve.
type approvers struct {
	ring  profile.Keyring
	seeds map[profile.Role][]byte
}

func newApprovers(t *testing.T) approvers {
	t.Helper()
	k := approvers{profile.Keyring{}, map[profile.Role][]byte{}}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		key, err := profile.Ed25519(public)
		if err != nil {
			t.Fatal(err)
		}
		k.ring[r], k.seeds[r] = []profile.Key{key}, private.Seed()
	}
	return k
}

func (k approvers) sign(t *testing.T, version int, action string, roles ...profile.Role) []byte {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	env, err := profile.New(profile.Profile{ID: firewalld.SourceProfile, Version: version, Operations: []string{"/CreateCustomization"}, Callers: []string{"front-end"},
		Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"arn:aws:s3:::*"}]}`),
		Bind:  "/dataReference/s3Reference/uri", TTL: 600, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)})
	for _, r := range roles {
		if err == nil {
			env, err = profile.Sign(env, tenant.NewSecret(bytes.Clone(k.seeds[r])))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return env
}

var everyTeam = []profile.Role{profile.Service, profile.Security, profile.Identity}

// store is a real folder of profiles, with one that allows s3:GetObject.
func (k approvers) store(t *testing.T) (*profile.Store, string) {
	t.Helper()
	dir := t.TempDir()
	state := filepath.Join(t.TempDir(), "state")
	file := filepath.Join(dir, "source.json")
	if err := errors.Join(profile.InitStore(state), os.WriteFile(file, k.sign(t, 2, "s3:GetObject", everyTeam...), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := profile.OpenStore(dir, state, k.ring, func(profile.Change) {}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, file
}

func onlyGet(t *testing.T) func(*firewalld.Options) {
	s, _ := newApprovers(t).store(t)
	return func(o *firewalld.Options) { o.Profiles = s }
}

func profileTampering(t *testing.T) {
	k := newApprovers(t)
	store, file := k.store(t)
	w := newWall(t, func(o *firewalld.Options) { o.Profiles = store })
	id, _ := w.row(w.a)
	ask := func(action string) (*fas.Session, error) {
		return w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, scope(action, "acme/src/*"))
	}
	put := func(env []byte) { w.ok(errors.Join(os.WriteFile(file, env, 0o600), store.Reload())) }
	approved, err := os.ReadFile(file)
	w.ok(err)
	var env struct {
		PayloadType string            `json:"payloadType"`
		Payload     []byte            `json:"payload"`
		Signatures  []json.RawMessage `json:"signatures"`
	}
	w.ok(json.Unmarshal(approved, &env))
	env.Payload = bytes.Replace(env.Payload, []byte("s3:GetObject"), []byte("s3:ListBucket"), 1)
	env.Payload = bytes.Replace(env.Payload, []byte(`"version":2`), []byte(`"version":9`), 1)
	changed, err := json.Marshal(env)
	w.ok(err)
	foreign := newApprovers(t)
	for name, envelope := range map[string][]byte{
		"a changed payload":     changed,
		"two teams":             k.sign(t, 9, "s3:ListBucket", profile.Service, profile.Security),
		"one team, three times": k.sign(t, 9, "s3:ListBucket", profile.Service, profile.Service, profile.Service),
		"nobody":                k.sign(t, 9, "s3:ListBucket"),
		"teams of another firm": foreign.sign(t, 9, "s3:ListBucket", everyTeam...),
		"an older version":      k.sign(t, 1, "s3:ListBucket", everyTeam...),
		"the version once more": k.sign(t, 2, "s3:ListBucket", everyTeam...),
		"half a file":           approved[:len(approved)/2],
	} {
		put(envelope)
		s, err := ask("s3:ListBucket")
		refused(t, name, s, err, fas.ErrScope)
	}
	if _, err := ask("s3:GetObject"); err != nil {
		t.Errorf("control: what was approved is not in force any more: %v", err)
	}
	put(k.sign(t, 10, "s3:ListBucket", everyTeam...))
	if _, err := ask("s3:ListBucket"); err != nil {
		t.Errorf("control: what three teams approved: %v", err)
	}
}

// proofOf is a signed request's proof of caller, as evidence.
func proofOf(w *wall, audience, body string, claimed []byte) (fas.Evidence, error) {
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return stsCaller, nil })
	p, err := awssts.Prove(context.Background(), keys, "us-east-1", audience, awssts.CallDigest("POST", "/ListCustomizations", []byte(body)))
	w.ok(err)
	return awssts.Evidence(p, "POST", "/ListCustomizations", claimed)
}

var stsCaller = aws.Credentials{AccessKeyID: "ASIACALLER", SecretAccessKey: "a secret of the caller", SessionToken: "a/token+of=the/caller"}

// stsServer is an STS: it checks the signature of what it is asked, and answers
// in a way that a test chooses.
type stsServer struct {
	mu    sync.Mutex
	asked []string
	say   func(*http.Response)
}

func (s *stsServer) set(say func(*http.Response)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say = say
}

func (s *stsServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.String())
	r.RequestURI = r.URL.RequestURI()
	ev, _, err := sigv4.Capture(r, 1<<10)
	if err == nil {
		err = sigv4.Verify(ev, func(key string) (tenant.Secret, bool) {
			return tenant.NewSecret([]byte(stsCaller.SecretAccessKey)), key == stsCaller.AccessKeyID
		}, time.Now(), sigv4.Options{Region: "us-east-1", Service: "sts"})
	}
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}}, Request: r, Body: io.NopCloser(strings.NewReader(
		`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
			`<Arn>arn:aws:sts::123456789012:assumed-role/deploy/me</Arn><UserId>AROAEXAMPLE:me</UserId><Account>123456789012</Account></GetCallerIdentityResult>` +
			`<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`))}
	if err != nil {
		res.StatusCode = http.StatusForbidden
	} else if s.say != nil {
		s.say(res)
	}
	return res, nil
}

type account struct{ p *atomic.Pointer[person] }

func (a account) Identity(_ context.Context, c awssts.AWSCaller) (fas.Identity, bool) {
	role, ok := c.Role()
	p := a.p.Load()
	return fas.Identity{Tenant: p.tenant, User: p.key.User}, ok && role == "deploy" && c.Account == "123456789012"
}

func proofSpoofing(t *testing.T) {
	sts, who := &stsServer{}, &atomic.Pointer[person]{}
	store, err := fas.MemoryReplay(1000)
	if err != nil {
		t.Fatal(err)
	}
	v, err := awssts.NewProofVerifier(awssts.ProofConfig{Audience: "cloister.example.org", Regions: []string{"us-east-1"}, Replay: store, Transport: sts})
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := v.Scheme(account{who})
	if err != nil {
		t.Fatal(err)
	}
	w := newWall(t, func(o *firewalld.Options) { o.Verifiers = map[tenant.Method]fas.Verifier{awssts.MethodCaller: scheme} })
	who.Store(&w.a)
	ask := func(audience string, say func(*http.Response)) (*fas.Session, error) {
		sts.set(say)
		w.n++
		body := fmt.Sprintf(`{"nonce":%d}`, w.n)
		ev, err := proofOf(w, audience, body, []byte(body))
		w.ok(err)
		return w.ask(ev, tenant.CustomizationID{})
	}
	const here = "cloister.example.org"
	s, err := ask("other.example.org", nil)
	refused(t, "for another audience", s, err, fas.ErrDenied)
	for name, say := range map[string]func(*http.Response){
		"an answer in JSON":  func(r *http.Response) { r.Header.Set("Content-Type", "application/json") },
		"an answer of a web": func(r *http.Response) { r.Header.Set("Content-Type", "text/html") },
		"a redirect": func(r *http.Response) {
			r.StatusCode = http.StatusFound
			r.Header.Set("Location", "https://sts.example.org/")
		},
		"a huge answer":   func(r *http.Response) { r.Body = io.NopCloser(io.LimitReader(forever{}, 1<<30)) },
		"nothing":         func(r *http.Response) { r.Body = http.NoBody },
		"another account": func(r *http.Response) { r.Body = replaceIn(r.Body, "123456789012", "999999999999") },
		"another role":    func(r *http.Response) { r.Body = replaceIn(r.Body, "/deploy/", "/deployer/") },
		"an answer in two": func(r *http.Response) {
			r.Body = replaceIn(r.Body, "</GetCallerIdentityResult>", "</GetCallerIdentityResult><GetCallerIdentityResult/>")
		},
		"an answer to other": func(r *http.Response) { r.Body = replaceIn(r.Body, "GetCallerIdentity", "GetSessionToken") },
	} {
		s, err := ask(here, say)
		refused(t, name, s, err, fas.ErrDenied)
	}
	// The front end sends another body than the one that was proved.
	sts.set(nil)
	if ev, err := proofOf(w, here, `{"a":1}`, []byte(`{"a":2}`)); err == nil {
		s, err := w.ask(ev, tenant.CustomizationID{})
		refused(t, "another body", s, err, fas.ErrDenied)
	}
	if s := w.must(ask(here, nil)); s.Tenant() != w.a.tenant {
		t.Error("control: another tenant")
	}
	sts.mu.Lock()
	defer sts.mu.Unlock()
	for _, asked := range sts.asked {
		if asked != "POST https://sts.us-east-1.amazonaws.com/" {
			t.Errorf("asked %s", asked)
		}
	}
}

type forever struct{}

func (forever) Read(b []byte) (int, error) { return len(b), nil }

func replaceIn(r io.Reader, old, with string) io.ReadCloser {
	b, _ := io.ReadAll(r)
	return io.NopCloser(bytes.NewReader(bytes.ReplaceAll(b, []byte(old), []byte(with))))
}

func ambientCredentials(t *testing.T) {
	w := newWall(t, nil)
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIAAMBIENT", "AWS_SECRET_ACCESS_KEY": "ambient", "AWS_SESSION_TOKEN": "ambient"} {
		t.Setenv(k, v)
	}
	ambient := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: "ambient"}, nil
	})
	id, _ := w.row(w.a)
	s, err := w.c.Exchange(context.Background(), w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")),
		fas.Request{RequestID: tenant.NewRequestID(), Customization: id, Profile: firewalld.SourceProfile, Scope: []byte(scope("s3:GetObject", "acme/src/*")), TTL: 2 * time.Second})
	w.ok(err)
	p, err := awssts.NewProvider(s)
	w.ok(err)
	conf := p.AWSConfig(aws.Config{Credentials: ambient})
	got, err := conf.Credentials.Retrieve(context.Background())
	creds, cerr := s.Credentials()
	w.ok(errors.Join(err, cerr))
	if got.AccessKeyID != creds.AccessKeyID {
		t.Errorf("in the session's life: %s", got.AccessKeyID)
	}
	time.Sleep(time.Until(s.Expires()))
	if got, err := conf.Credentials.Retrieve(context.Background()); !errors.Is(err, fas.ErrExpired) || got.AccessKeyID != "" {
		t.Errorf("after its end: %s, %v", got.AccessKeyID, err)
	}
	if !errors.Is(awssts.CheckNoAmbient(), awssts.ErrAmbient) {
		t.Error("the ambient credentials are not reported")
	}
}

const (
	frontEndSocket   = "CLOISTER_TEST_FRONT_END_SOCKET"
	frontEndEvidence = "CLOISTER_TEST_FRONT_END_EVIDENCE"
)

// TestFrontEndProcess is a front end, where the test of threats starts it.
func TestFrontEndProcess(t *testing.T) {
	if os.Getenv(frontEndSocket) == "" {
		t.Skip("started by the test of threats only")
	}
	conn, err := net.Dial("unix", os.Getenv(frontEndSocket))
	if err != nil {
		t.Fatal(err)
	}
	c, err := fas.Dial(conn.(*net.UnixConn))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(os.Getenv(frontEndEvidence))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := fas.ParseEvidence(raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID()})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.Catalog(s).List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("served", len(rows), s.Spans())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// memory is what a process of this user holds and may write.
func memory(t *testing.T, pid int) (all [][]byte) {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Skipf("the memory of a child cannot be read here: %v", err)
	}
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("the memory of a child cannot be read here: %v", err)
	}
	defer mem.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		lo, err1 := strconv.ParseInt(from, 16, 64)
		hi, err2 := strconv.ParseInt(to, 16, 64)
		if err1 != nil || err2 != nil || hi-lo > 1<<30 {
			continue
		}
		b := make([]byte, hi-lo)
		if n, err := mem.ReadAt(b, lo); err == nil || n > 0 {
			all = append(all, b[:n])
		}
	}
	return all
}

func holds(all [][]byte, what []byte) bool {
	for _, b := range all {
		if bytes.Contains(b, what) {
			return true
		}
	}
	return false
}

func keyInFrontEnd(t *testing.T) {
	w := newWall(t, nil)
	w.row(w.a)
	signed := time.Now().UTC()
	raw, err := w.call(w.a, "ListCustomizations", "").MarshalBinary()
	w.ok(err)
	child := exec.Command(os.Args[0], "-test.run=^TestFrontEndProcess$", "-test.v")
	child.Env = []string{frontEndSocket + "=" + w.path, frontEndEvidence + "=" + base64.StdEncoding.EncodeToString(raw), "TMPDIR=" + os.TempDir()}
	in, err1 := child.StdinPipe()
	out, err2 := child.StdoutPipe()
	w.ok(errors.Join(err1, err2, child.Start()))
	defer func() { _ = in.Close(); _ = child.Wait() }()
	said := ""
	for lines := bufio.NewScanner(out); !strings.HasPrefix(said, "served") && lines.Scan(); {
		said = lines.Text()
	}
	if !strings.HasPrefix(said, "served 1 ") {
		t.Fatalf("the front end said %q", said)
	}
	held := memory(t, child.Process.Pid)
	if !holds(held, []byte(w.a.key.AccessKeyID)) {
		t.Fatal("control: the signed call is not found in the memory of the front end")
	}
	secret := []byte(w.a.key.SecretAccessKey)
	root := bytes.Repeat([]byte{7}, 32)
	material := w.srv.VerifierMaterial().Keys[0]
	ofTheDay := hmac.New(sha256.New, []byte("AWS4"+w.a.key.SecretAccessKey))
	ofTheDay.Write([]byte(signed.Format("20060102")))
	for name, what := range map[string][]byte{"a tenant's secret": secret, "its key of the day": ofTheDay.Sum(nil), "the root key": root, "the sessions' key": material.Service} {
		for form, what := range map[string][]byte{"as it is": what, "in hex": []byte(hex.EncodeToString(what)), "in base64": []byte(base64.StdEncoding.EncodeToString(what))} {
			if holds(held, what) {
				t.Errorf("the front end holds %s, %s", name, form)
			}
		}
	}
	if bytes.Contains([]byte(said), secret) {
		t.Error("the front end was told the secret")
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", child.Process.Pid))
	w.ok(err)
	for _, fd := range fds {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", child.Process.Pid, fd.Name()))
		if err == nil && strings.HasPrefix(to, w.dir) {
			t.Errorf("the front end has %s open", to)
		}
	}
}

func flood(t *testing.T) {
	store, err := fas.MemoryReplay(60)
	if err != nil {
		t.Fatal(err)
	}
	w := newWall(t, func(o *firewalld.Options) {
		o.Replay, o.Limits = store, fas.Limits{Rate: 0.001, Burst: 40, Concurrent: 4}
	})
	served, limited := 0, 0
	for range 60 {
		switch _, err := w.own(w.a, "ListCustomizations", tenant.CustomizationID{}); {
		case err == nil:
			served++
		case errors.Is(err, fas.ErrLimited):
			limited++
		default:
			t.Error(err)
		}
	}
	if served != 40 || limited != 20 {
		t.Errorf("%d served, %d refused", served, limited)
	}
	for range 20 {
		if _, err := w.own(w.b, "ListCustomizations", tenant.CustomizationID{}); err != nil {
			t.Errorf("another tenant notices: %v", err)
		}
	}
	s, err := w.own(w.b, "ListCustomizations", tenant.CustomizationID{})
	refused(t, "more than can be remembered", s, err, fas.ErrReplayed)
	conn := w.conn(w.path)
	defer conn.Close()
	w.ok(conn.SetDeadline(time.Now().Add(20 * time.Second)))
	_, err = conn.Write([]byte{0x7f, 0xff, 0xff, 0xff})
	w.ok(err)
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a frame of two gigabytes: %d, %v", n, err)
	}
	if _, err := fas.NewEvidence("sigv4", make([]byte, fas.MaxEvidence+1), fas.Claim{}); !errors.Is(err, fas.ErrNoEvidence) {
		t.Errorf("evidence beyond the limit: %v", err)
	}
}

// anotherProgram copies this program and lets the copy ask.
// anothersTicket is a workload that may call the firewall, is no control plane,
// and got hold of tickets.
func anothersTicket(t *testing.T) {
	w := newWall(t, nil)
	ctx := context.Background()
	_, ticket := w.row(w.a)
	path, stop := w.listenTo("editor", false)
	defer stop()
	c := w.dial(path)
	defer c.Close()
	s, err := c.Redeem(ctx, ticket, fas.VerbIndex)
	refused(t, "keys for another's ticket", s, err, fas.ErrRole)
	if open, err := c.Unfinished(ctx); !errors.Is(err, fas.ErrRole) || len(open) != 0 {
		t.Errorf("it learns of %d unfinished: %v", len(open), err)
	}
	if err := c.Abandon(ctx, ticket, "x"); !errors.Is(err, fas.ErrRole) {
		t.Errorf("it ends another's work: %v", err)
	}
	w.must(w.c.Redeem(ctx, ticket, fas.VerbIndex))
}

func anotherProgram(t *testing.T) {
	w := newWall(t, nil)
	raw, err := w.call(w.a, "ListCustomizations", "").MarshalBinary()
	w.ok(err)
	self, err := os.ReadFile("/proc/self/exe")
	w.ok(err)
	other := filepath.Join(t.TempDir(), "other")
	w.ok(os.WriteFile(other, self, 0o700))
	run := func(exe string) string {
		child := exec.Command(exe, "-test.run=^TestFrontEndProcess$", "-test.v")
		child.Env = []string{frontEndSocket + "=" + w.path, frontEndEvidence + "=" + base64.StdEncoding.EncodeToString(raw), "TMPDIR=" + os.TempDir()}
		out, _ := child.CombinedOutput()
		return string(out)
	}
	if out := run(other); strings.Contains(out, "\nserved ") {
		t.Errorf("another program was served:\n%s", out)
	}
	if out := run("/proc/self/exe"); !strings.Contains(out, "\nserved ") {
		if out = run(os.Args[0]); !strings.Contains(out, "\nserved ") {
			t.Errorf("control: the program of the list was not served:\n%s", out)
		}
	}
}
