package esdk

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of doc/interoperability.md anew")

// implementations are the official ones, and the variable that names the
// program of each.
var implementations = []struct{ name, env string }{
	{"python", "CLOISTER_ESDK_PYTHON"}, {"node", "CLOISTER_ESDK_NODE"}, {"java", "CLOISTER_ESDK_JAVA"}, {"go", "CLOISTER_ESDK_GO"},
}

// program is one long-lived process with the common command line.
type program struct {
	name string
	dir  string
	in   io.WriteCloser
	out  *bufio.Reader
}

func start(t *testing.T, name, path string) *program {
	t.Helper()
	c := exec.Command(path, "batch")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	return &program{name, t.TempDir(), in, bufio.NewReaderSize(out, 1<<20)}
}

var errRefused = errors.New("refused")

func (p *program) call(data []byte, args ...string) ([]byte, error) {
	in, out := filepath.Join(p.dir, "in"), filepath.Join(p.dir, "out")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		return nil, err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := fmt.Fprintf(p.in, "%s\t%s\t%s\n", in, out, strings.Join(args, "\t")); err != nil {
		return nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s ended: %w", p.name, err)
	}
	code, text, _ := strings.Cut(strings.TrimSpace(line), "\t")
	b, rerr := os.ReadFile(out)
	switch {
	case code == "0" && rerr == nil:
		return b, nil
	case code == "0":
		return nil, fmt.Errorf("%s wrote nothing: %w", p.name, rerr)
	case len(b) > 0:
		return nil, fmt.Errorf("%s refused and wrote %d bytes: %s", p.name, len(b), text)
	}
	return nil, fmt.Errorf("%w: %s: %s", errRefused, p.name, text)
}

// ours is kmsctx, built once and driven like the others.
func ours(t *testing.T) *program {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command("go", "build", "-o", bin, "./peer").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return start(t, "kmsctx", bin)
}

const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

var (
	pairs    = []string{"--context", "tenant=tn-1", "--context", "customization=cust-1"}
	sizes    = []int{0, 1, 4095, 4096, 4097, 65536, 10 << 20}
	withheld = []string{"--withhold", "customization"}
)

// variant is a column of the table.
type variant struct {
	name string
	keys []string
	args []string // of both sides
	seal []string // of the writer
}

func variants(t *testing.T) []variant {
	raw := []string{"--key", key}
	out := []variant{
		{"raw AES, 0478", raw, nil, nil},
		{"raw AES, 0578", raw, nil, []string{"--suite", "0578"}},
		{"raw AES, 4 KiB frames", raw, nil, []string{"--frame", "4096"}},
		{"raw AES, withheld pair", raw, withheld, nil},
	}
	for _, k := range keyServices(t) {
		out = append(out,
			variant{k.name + ", 0478", k.args, nil, nil},
			variant{k.name + ", 0578", k.args, nil, []string{"--suite", "0578"}},
			variant{k.name + ", withheld pair", k.args, withheld, nil})
	}
	return out
}

// crosses writes with one and reads with the other, and returns what the table
// says.
func crosses(t *testing.T, w, r *program, v variant, plain []byte) string {
	t.Helper()
	message, err := w.call(plain, slices.Concat([]string{"encrypt"}, v.keys, pairs, v.args, v.seal)...)
	if err != nil && strings.Contains(err.Error(), "unsupported") {
		return "-"
	}
	if err != nil {
		t.Errorf("%s, %s writes %d bytes: %v", v.name, w.name, len(plain), err)
		return "FAIL"
	}
	got, err := r.call(message, slices.Concat([]string{"decrypt"}, v.keys, pairs, v.args)...)
	switch {
	case err != nil && strings.Contains(err.Error(), "unsupported"):
		return "-"
	case err != nil || !bytes.Equal(got, plain):
		t.Errorf("%s, %s reads %s's %d bytes: %v", v.name, r.name, w.name, len(plain), err)
		return "FAIL"
	}
	wrong := []string{"--context", "tenant=tn-2", "--context", "customization=cust-1"}
	if _, err := r.call(message, slices.Concat([]string{"decrypt"}, v.keys, wrong, v.args)...); !errors.Is(err, errRefused) {
		t.Errorf("%s, %s opens %s's message for another tenant: %v", v.name, r.name, w.name, err)
		return "FAIL"
	}
	if len(message) > 100 {
		message[len(message)-30] ^= 1
		if _, err := r.call(message, slices.Concat([]string{"decrypt"}, v.keys, pairs, v.args)...); !errors.Is(err, errRefused) {
			t.Errorf("%s, %s opens %s's altered message: %v", v.name, r.name, w.name, err)
			return "FAIL"
		}
	}
	return "ok"
}

// TestOfficialImplementations crosses kmsctx with every official
// implementation that is installed, in both directions, at every size, each
// with a control's two refusals: another tenant, one bit.
func TestOfficialImplementations(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "| implementation | key and suite | it writes, `kmsctx` reads | `kmsctx` writes, it reads |\n|---|---|---|---|\n")
	all := variants(t)
	mine := ours(t)
	ran := 0
	for _, i := range implementations {
		path := os.Getenv(i.env)
		if path == "" {
			t.Run(i.name, func(t *testing.T) { t.Skipf("%s does not name the program of the %s implementation", i.env, i.name) })
			fmt.Fprintf(&table, "| %s | not installed | | |\n", i.name)
			continue
		}
		t.Run(i.name, func(t *testing.T) {
			ran++
			theirs := start(t, i.name, path)
			for _, v := range all {
				reads, writes := map[string]int{}, map[string]int{}
				for _, n := range sizes {
					plain := make([]byte, n)
					_, _ = rand.Read(plain)
					reads[crosses(t, theirs, mine, v, plain)]++
					writes[crosses(t, mine, theirs, v, plain)]++
				}
				fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", i.name, v.name, sum(reads), sum(writes))
			}
		})
	}
	if ran == len(implementations) && *update {
		if err := writeTable(filepath.Join("..", "..", "..", "doc", "interoperability.md"), table.String()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("\n%s", table.String())
}

func sum(marks map[string]int) string {
	switch {
	case marks["FAIL"] > 0:
		return fmt.Sprintf("%d of %d FAIL", marks["FAIL"], len(sizes))
	case marks["-"] > 0:
		return "not supported there"
	}
	return fmt.Sprintf("%d of %d sizes", marks["ok"], len(sizes))
}

const begin, end = "<!-- matrix -->\n", "<!-- /matrix -->\n"

func writeTable(path, table string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(b), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %q", filepath.Base(path), begin)
	}
	return os.WriteFile(path, []byte(head+begin+table+end+tail), 0o644)
}
