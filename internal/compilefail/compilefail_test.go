package compilefail

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/cloisterdev/cloister/"

// Every program is a main function; imports are named by their last part.
var programs = []struct{ name, imports, body, want string }{
	{"a permit made by hand", "authz tenant", `_ = authz.Permit{caller: tenant.Caller{}}`, "unexported field caller"},
	{"a session made by hand", "fas tenant", `_ = fas.Session{tenant: tenant.NewID()}`, "unexported field tenant"},
	{"a caller made by hand", "tenant", `_ = tenant.Caller{tenant: tenant.NewID()}`, "unexported field tenant"},
	{"an issuer's grant made by hand", "fas", `_ = fas.Grant{bucket: "b"}`, "unexported field bucket"},
	{"evidence of a scheme made by hand", "fas", `_ = fas.Evidence{raw: nil}`, "unexported field raw"},
	{"evidence made by hand", "fas/sigv4", `_ = sigv4.Evidence{canonical: "x"}`, "unexported field canonical"},
	{"an approved profile made by hand", "fas/profile", `_ = profile.Verified{hash: "x"}`, "unexported field hash"},
	{"a context made by hand", "kmsctx", `_ = kmsctx.Context{pairs: map[string]string{}}`, "unexported field pairs"},
	{"a hit made by hand", "retrieval", `_ = retrieval.Hit{from: nil}`, "unexported field from"},
	{"a collection opened by a string", "retrieval", `_, _ = retrieval.Open(nil, "col-x", nil)`, "cannot use \"col-x\""},
	{"a slot leased by an ID", "gpuinfer tenant", `var p *gpuinfer.Pool; _, _ = p.Acquire(nil, tenant.NewCustomizationID())`, "cannot use tenant.NewCustomizationID()"},
	{"a tenant ID for a customization ID", "fas tenant", `_ = fas.Request{Customization: tenant.NewID()}`, "cannot use tenant.NewID()"},
	{"a string for an ID", "fas", `_ = fas.Request{Customization: "cus-x"}`, "cannot use \"cus-x\""},
	{"conversion between kinds of ID", "tenant", `_ = tenant.CustomizationID(tenant.NewID())`, "cannot convert tenant.NewID()"},
	{"comparison of kinds of ID", "tenant", `_ = tenant.NewID() == tenant.NewUserID()`, "mismatched types"},
	{"a kind of ID made outside", "tenant", `type k struct{}; var _ tenant.Of[k]`, "k does not satisfy tenant.Kind"},
	{"raw text as a string", "tenant", `var t tenant.Text; _ = string(t)`, "cannot convert t"},
	{"a secret as bytes", "tenant", `var s tenant.Secret; _ = []byte(s)`, "cannot convert s"},
	{"a search on a writer", "retrieval/embedded", `var w *embedded.Writer; _, _ = w.Search(nil, struct{}{})`, "w.Search undefined"},
	{"a write on a reader", "retrieval", `var r *retrieval.Reader; _ = r.Add(nil)`, "r.Add undefined"},
	{"a session refreshed", "fas", `var s *fas.Session; s.Refresh()`, "s.Refresh undefined"},
}

func TestMustNotBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	// The programs stand inside the module, where the internal rules of the go
	// command apply as they do to any other package of it.
	root, err := os.MkdirTemp(".", "_must_not_build_")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	for _, p := range append(programs, struct{ name, imports, body, want string }{"the control", "tenant", `_ = tenant.NewID()`, ""}) {
		t.Run(p.name, func(t *testing.T) {
			dir, err := os.MkdirTemp(root, "p")
			if err != nil {
				t.Fatal(err)
			}
			src := "package main\n"
			for _, i := range strings.Fields(p.imports) {
				src += "import \"" + module + i + "\"\n"
			}
			src += "func main() { " + p.body + " }\n"
			file := filepath.Join(dir, "main.go")
			if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "vet", file).CombinedOutput()
			switch {
			case p.want == "" && err != nil:
				t.Errorf("does not build: %s", out)
			case p.want != "" && err == nil:
				t.Error("builds")
			case p.want != "" && !strings.Contains(string(out), p.want):
				t.Errorf("the compiler says %s", out)
			}
		})
	}
}
