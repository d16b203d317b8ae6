package work

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

type recorder struct{}

func (recorder) Record(context.Context, audit.Event) error { return nil }
func (recorder) Append(context.Context, audit.Event) error { return nil }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// world is a real firewall for workers that run in the test's own process.
type world struct {
	t      *testing.T
	wall   *fas.Client
	key    firewalld.AccessKey
	bucket string
	row    fas.Row
	ticket fas.Ticket
}

const prefix = "src/"

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, root := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{3}, 32))
	srv := must[*firewalld.Server](t)(firewalld.Open(dir, root, recorder{}, &firewalld.Options{Operations: []fas.Operation{
		{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}}}))
	name := must[tenant.Text](t)(tenant.NewText("x", 10))
	who := must[tenant.ID](t)(firewalld.AddTenant(dir, root, name))
	w := &world{t: t, bucket: "src-bucket"}
	w.key = must[firewalld.AccessKey](t)(firewalld.AddUser(dir, root, who, name, true))
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, unixConn(t, fds[0])) }()
	w.wall = must[*fas.Client](t)(fas.Dial(unixConn(t, fds[1])))
	t.Cleanup(func() {
		_ = w.wall.Close()
		cancel()
		<-served
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	own := must[*fas.Session](t)(w.wall.AssumeOwn(ctx, w.evidence(), fas.Request{RequestID: tenant.NewRequestID()}))
	if w.row, w.ticket, err = w.wall.Catalog(own).Create(ctx, fas.CreateInput{}); err != nil {
		t.Fatal(err)
	}
	return w
}

func unixConn(t *testing.T, fd int) *net.UnixConn {
	f := os.NewFile(uintptr(fd), "pair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

func (w *world) evidence() fas.Evidence {
	w.t.Helper()
	body := must[[]byte](w.t)(json.Marshal(map[string]any{"nonce": tenant.NewRequestID(),
		"dataReference": map[string]any{"s3Reference": map[string]string{"uri": "s3://" + w.bucket + "/" + prefix}}}))
	r := must[*http.Request](w.t)(http.NewRequest(http.MethodPost, "http://service.local/CreateCustomization", bytes.NewReader(body)))
	err := sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: w.key.AccessKeyID, Secret: tenant.NewSecret([]byte(w.key.SecretAccessKey)), Region: "us-east-1", Service: "codewhisperer"}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	r.RequestURI, r.Host = "/CreateCustomization", "service.local"
	ev, b, err := sigv4.Capture(r, 1<<20)
	if err == nil {
		ev, err = ev.WithBody(b)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return must[fas.Evidence](w.t)(fas.SigV4Evidence(ev))
}

func (w *world) attach() *os.File {
	w.t.Helper()
	f := must[*os.File](w.t)(w.wall.Attach(w.t.Context()))
	w.t.Cleanup(func() { _ = f.Close() })
	return f
}

// fetch runs the fetch worker against whatever answers.
func (w *world) fetch(ctx context.Context, bucket http.Handler) (Copied, *os.File, error) {
	w.t.Helper()
	srv := httptest.NewServer(bucket)
	defer srv.CloseClientConnections()
	w.t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	conn := must[net.Conn](w.t)(net.Dial("tcp", host))
	sock := must[*os.File](w.t)(conn.(*net.TCPConn).File())
	_ = conn.Close()
	defer sock.Close()
	staging := must[*os.File](w.t)(os.Create(filepath.Join(w.t.TempDir(), "staging")))
	w.t.Cleanup(func() { _ = staging.Close() })
	req := FetchRequest{Evidence: must[[]byte](w.t)(w.evidence().MarshalBinary()), Request: tenant.NewRequestID(), Customization: w.row.Customization,
		Profile: firewalld.SourceProfile, Ticket: w.ticket, Host: host,
		Scope: must[[]byte](w.t)(policy.Marshal(policy.Statement{Effect: "Allow", Actions: []string{"s3:GetObject", "s3:ListBucket"}, Resources: []string{"arn:aws:s3:::" + w.bucket + "/" + prefix + "*"}}))}
	var out Copied
	reply, err := Fetch(ctx, must[[]byte](w.t)(json.Marshal(req)), []*os.File{w.attach(), sock, staging})
	if err == nil {
		err = json.Unmarshal(reply, &out)
	}
	return out, staging, err
}

// index runs the index worker on what a fetch left.
func (w *world) index(staging *os.File, c Copied) (Indexed, *os.File, error) {
	w.t.Helper()
	if _, err := staging.Seek(0, io.SeekStart); err != nil {
		w.t.Fatal(err)
	}
	to := must[*os.File](w.t)(os.Create(filepath.Join(w.t.TempDir(), "snapshot")))
	w.t.Cleanup(func() { _ = to.Close() })
	var out Indexed
	reply, err := Index(w.t.Context(), must[[]byte](w.t)(json.Marshal(IndexRequest{Ticket: w.ticket, Digest: c.Digest, Files: c.Files})), []*os.File{w.attach(), staging, to})
	if err == nil {
		err = json.Unmarshal(reply, &out)
	}
	return out, to, err
}

// honest is a bucket that answers as S3 does, in pages of two.
type honest map[string]string

func (h honest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if key, ok := strings.CutPrefix(r.URL.Path, "/src-bucket/"); ok {
		text, ok := h[key]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, text)
		return
	}
	var keys []string
	after := r.URL.Query().Get("continuation-token")
	for _, k := range sorted(h) {
		if strings.HasPrefix(k, r.URL.Query().Get("prefix")) && k > after {
			keys = append(keys, k)
		}
	}
	var list []object
	next := ""
	for i, k := range keys {
		if i == 2 {
			next = keys[1]
			break
		}
		list = append(list, object{k, int64(len(h[k]))})
	}
	_, _ = io.WriteString(w, page(next, list...))
}

type object struct {
	key  string
	size int64
}

// page is a page of a list, which goes on if next is not empty.
func page(next string, objects ...object) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0"?><ListBucketResult><IsTruncated>%t</IsTruncated><NextContinuationToken>%s</NextContinuationToken>`, next != "", next)
	for _, o := range objects {
		fmt.Fprintf(&b, "<Contents><Key>%s</Key><Size>%d</Size></Contents>", o.key, o.size)
	}
	b.WriteString("</ListBucketResult>")
	return b.String()
}
