// Package archtest reads the source of a module and reports where it breaks
// the rules of the house: floors, outside imports, forbidden constructs,
// undocumented exports, file sizes. It reads files in this process rather than
// through the go command, so that the test cache notices every change.
//
// It sees what the source says, not what the linker keeps, and it does not
// judge names or design.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// Module is the import path of the module whose rules these are.
const Module = "github.com/cloisterdev/cloister"

// Room is one line of the floor table.
type Room struct {
	// Dir is the package's folder below the module root. A room governs its
	// sub-folders unless they have a line of their own.
	Dir string
	// Floor: a package may import lower floors only; from the drivers' floor up,
	// its own too.
	Floor int
	// Outside lists the import-path prefixes outside the module and the
	// standard library that the room may use.
	Outside []string
	// Allow lists otherwise forbidden things: "unsafe", "testing", "log".
	Allow []string
	// Part names the core package that this public part stands below on the
	// same floor; that package alone may import it from the same floor.
	Part string
}

// Rooms is the floor table. A package that no line covers is an error: a new
// package must be given its place on purpose.
var Rooms = []Room{
	{Dir: "tenant", Floor: 0},
	{Dir: "internal/filelock", Floor: 0},
	{Dir: "internal/durable", Floor: 0},
	{Dir: "internal/sabotage", Floor: 0},
	{Dir: "internal/weakkey", Floor: 0},
	{Dir: "internal/bodyread", Floor: 0},
	{Dir: "internal/strictjson", Floor: 0},
	{Dir: "audit", Floor: 1, Outside: []string{"golang.org/x/mod/sumdb"}},
	{Dir: "audit/audittest", Floor: 6, Allow: []string{"testing"}},
	{Dir: "authz", Floor: 2, Outside: []string{"github.com/cedar-policy/cedar-go"}},
	{Dir: "authz/authztest", Floor: 6, Allow: []string{"testing"}},
	{Dir: "fas", Floor: 3, Outside: []string{"golang.org/x/crypto"}},
	{Dir: "fas/sigv4", Floor: 3, Part: "fas"},
	{Dir: "fas/httpsig", Floor: 3, Part: "fas"},
	{Dir: "fas/policy", Floor: 3, Part: "fas"},
	{Dir: "fas/profile", Floor: 3, Part: "fas"},
	{Dir: "kmsctx", Floor: 3},
	{Dir: "retrieval", Floor: 4, Outside: []string{"github.com/klauspost/compress"}},
	{Dir: "gpuinfer", Floor: 4, Outside: []string{"golang.org/x/sys"}},
	{Dir: "sandbox", Floor: 4, Outside: []string{"golang.org/x/sys", "github.com/landlock-lsm/go-landlock", "github.com/elastic/go-seccomp-bpf", "golang.org/x/net/bpf", "kernel.org/pub/linux/libs/security/libcap/psx"}},
	{Dir: "workflow", Floor: 4, Outside: []string{"go.etcd.io/bbolt"}},
	{Dir: "operator", Floor: 4},
	{Dir: "invariant", Floor: 5},
	{Dir: "fas/localsts", Floor: 6},
	{Dir: "fas/awssts", Floor: 6, Outside: []string{"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"}},
	{Dir: "fas/firewalld", Floor: 6, Outside: []string{"go.etcd.io/bbolt", "golang.org/x/sys"}},
	{Dir: "fas/oidc", Floor: 6, Outside: []string{"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4"}},
	{Dir: "fas/sqlreplay", Floor: 6},
	{Dir: "fas/firewalltest", Floor: 6, Allow: []string{"testing"}},
	{Dir: "kmsctx/localkms", Floor: 6},
	{Dir: "kmsctx/kmsserver", Floor: 6, Outside: []string{"golang.org/x/net/netutil"}},
	{Dir: "kmsctx/awskms", Floor: 6, Outside: []string{"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"}},
	{Dir: "kmsctx/hierarchy", Floor: 6, Outside: []string{"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"}},
	{Dir: "kmsctx/transit", Floor: 6},
	{Dir: "kmsctx/kmstest", Floor: 6, Allow: []string{"testing"}},
	{Dir: "retrieval/embedded", Floor: 6, Outside: []string{"github.com/klauspost/compress"}},
	{Dir: "retrieval/retrievaltest", Floor: 6, Allow: []string{"testing"}},
	{Dir: "gpuinfer/ngram", Floor: 6},
	{Dir: "gpuinfer/infertest", Floor: 6, Allow: []string{"testing"}},
	{Dir: "cmd", Floor: 7, Allow: []string{"log"}},
	{Dir: "internal/archtest", Floor: 7, Allow: []string{"testing"}},
	{Dir: "internal/compilefail", Floor: 7, Allow: []string{"testing"}},
	{Dir: "internal/weight", Floor: 7, Allow: []string{"testing"}},
	{Dir: "internal/pagecode", Floor: 7, Allow: []string{"testing"}},
}

// MaxLines is the longest source file accepted, tests included.
const MaxLines = 600

// drivers may import one another: a server that wires several floors is one.
const driverFloor = 6

var forbidden = []string{"unsafe", "C", "math/rand", "math/rand/v2", "log", "testing"}

func room(dir string) (Room, bool) {
	for d := dir; d != "." && d != ""; d = path.Dir(d) {
		for _, r := range Rooms {
			if r.Dir == d {
				return r, true
			}
		}
	}
	return Room{}, false
}

// Check reads every Go file of the module at root and returns its findings,
// sorted, one line each.
func Check(root string) ([]string, error) {
	c := &checker{fset: token.NewFileSet(), docs: map[string]string{}}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel == "." {
				return nil
			}
			n := d.Name()
			if strings.HasPrefix(n, ".") || strings.HasPrefix(n, "_") || n == "testdata" {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil {
				return fs.SkipDir // another module has its own rules
			}
			return nil
		}
		if strings.HasSuffix(rel, ".go") {
			return c.file(p, rel)
		}
		return nil
	})
	c.sentinels()
	sort.Strings(c.found)
	return c.found, err
}

type checker struct {
	fset  *token.FileSet
	found []string
	docs  map[string]string // package comments, by folder
	errs  []sentinel
}

// sentinel is an error that callers compare with.
type sentinel struct{ dir, file, name string }

// sentinels reports those that the package's documentation does not name: whoever
// handles refusals reads there which there are.
func (c *checker) sentinels() {
	for _, e := range c.errs {
		if !regexp.MustCompile(`\b` + e.name + `\b`).MatchString(c.docs[e.dir]) {
			c.report(e.file, "%s is not in the package documentation's list of what is refused", e.name)
		}
	}
}

func (c *checker) report(rel, format string, args ...any) {
	c.found = append(c.found, rel+": "+fmt.Sprintf(format, args...))
}

func (c *checker) file(p, rel string) error {
	src, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(c.fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	isTest := strings.HasSuffix(rel, "_test.go")
	if n := strings.Count(string(src), "\n"); n > MaxLines {
		c.report(rel, "%d lines, the limit is %d: split it by concept", n, MaxLines)
	}
	dir := path.Dir(rel)
	r, ok := room(dir)
	if !ok {
		c.report(rel, "package %s has no line in the floor table", dir)
		return nil
	}
	if isTest {
		return nil
	}
	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		c.imports(rel, dir, r, imp)
	}
	c.docs[dir] += f.Doc.Text()
	for _, d := range f.Decls {
		c.decl(rel, f.Name.Name, d)
	}
	return nil
}

func (c *checker) imports(rel, dir string, r Room, imp string) {
	for _, bad := range forbidden {
		if imp == bad && !contains(r.Allow, bad) {
			c.report(rel, "imports %s, which this room may not", imp)
		}
	}
	if inner, ok := strings.CutPrefix(imp, Module+"/"); ok {
		to, known := room(inner)
		switch {
		case !known:
			c.report(rel, "imports %s, which has no line in the floor table", imp)
		case inner == dir:
		case to.Floor < r.Floor:
		case r.Floor >= driverFloor && to.Floor <= r.Floor:
		case to.Part != "" && to.Part == r.Dir:
		default:
			c.report(rel, "floor %d imports %s on floor %d: only lower floors", r.Floor, inner, to.Floor)
		}
		return
	}
	if !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
		return // standard library
	}
	for _, p := range r.Outside {
		if imp == p || strings.HasPrefix(imp, p+"/") {
			return
		}
	}
	if r.Floor < 7 {
		c.report(rel, "imports %s from outside, which floor %d room %s may not", imp, r.Floor, r.Dir)
	}
}

func (c *checker) decl(rel, pkg string, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.Name == "init" && d.Recv == nil {
			c.report(rel, "init(): work at start-up must be asked for")
		}
		if pkg == "main" || !d.Name.IsExported() || d.Doc != nil || !exportedRecv(d) {
			return
		}
		c.report(rel, "exported %s has no documentation", d.Name.Name)
	case *ast.GenDecl:
		if pkg == "main" || (d.Tok != token.TYPE && d.Tok != token.CONST && d.Tok != token.VAR) {
			return
		}
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					c.report(rel, "exported type %s has no documentation", s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if d.Tok == token.VAR && strings.HasPrefix(n.Name, "Err") && len(n.Name) > 3 {
						c.errs = append(c.errs, sentinel{path.Dir(rel), rel, n.Name})
					}
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						c.report(rel, "exported %s has no documentation", n.Name)
					}
				}
			}
		}
	}
}

func exportedRecv(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
