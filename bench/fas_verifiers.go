package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

//go:embed testdata/verifiers
var verifierFiles embed.FS

// others are SigV4 verifiers in Go that cannot be linked here: minio's is an
// unexported part of an AGPL server, and awsig has no module in the proxy. Each
// becomes a process of its own, built from a checkout that a variable names,
// with the files laid over it; the checkout stays as it is.
var others = []struct {
	name, variable string
	overlay        map[string]string // path in the checkout: file below testdata/verifiers
	parts          []string
}{
	{"minio", "CLOISTER_SOURCE_MINIO", map[string]string{"cmd/verifier.go": "minio/cmd.go"}, []string{partWhole, partSignature}},
	{"awsig", "CLOISTER_SOURCE_AWSIG", nil, []string{partWhole}},
}

const (
	partWhole     = "with the body"
	partSignature = "signature alone"
)

// foreign is a verifier that runs in another process.
type foreign struct {
	name, part string
	in         io.WriteCloser
	enc        *json.Encoder
	dec        *json.Decoder
	cmd        *exec.Cmd
}

// startForeign builds and starts those whose source is named, and says which
// are left out. stop ends them and removes what was built.
func startForeign(ctx context.Context) (fs []*foreign, left string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "verifiers")
	if err != nil {
		return nil, "", nil, err
	}
	stop = func() {
		for _, f := range fs {
			_ = f.in.Close()
			_ = f.cmd.Wait()
		}
		_ = os.RemoveAll(dir)
	}
	var missing []string
	for _, o := range others {
		source := os.Getenv(o.variable)
		if source == "" {
			missing = append(missing, o.name+" is not measured, since "+o.variable+" names no checkout of it")
			continue
		}
		program, err := buildForeign(ctx, source, filepath.Join(dir, o.name), o.name, o.overlay)
		for i := 0; i < len(o.parts) && err == nil; i++ {
			var f *foreign
			if f, err = startOne(ctx, program, o.name+commit(ctx, source), o.parts[i]); err == nil {
				fs = append(fs, f)
			}
		}
		if err != nil {
			stop()
			return nil, "", nil, fmt.Errorf("%s=%s: %w", o.variable, source, err)
		}
	}
	return fs, strings.Join(missing, "; "), stop, nil
}

// commit is a word about which checkout it is, with a space before it.
func commit(ctx context.Context, source string) string {
	out, err := exec.CommandContext(ctx, "git", "-C", source, "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return ""
	}
	return " " + strings.TrimSpace(string(out))
}

// buildForeign compiles a program that is in the checkout only as the compiler
// sees it.
func buildForeign(ctx context.Context, source, dir, name string, more map[string]string) (string, error) {
	source, err := filepath.Abs(source)
	if err != nil {
		return "", err
	}
	over := map[string]string{"cloisterverifier/main.go": name + "/main.go", "cloisterverifier/serve.go": "serve.go"}
	for at, file := range more {
		over[at] = file
	}
	replace := map[string]string{}
	for at, file := range over {
		b, err := verifierFiles.ReadFile(path.Join("testdata/verifiers", file))
		if err != nil {
			return "", err
		}
		here := filepath.Join(dir, filepath.FromSlash(file))
		if err := errors.Join(os.MkdirAll(filepath.Dir(here), 0o700), os.WriteFile(here, b, 0o600)); err != nil {
			return "", err
		}
		replace[filepath.Join(source, filepath.FromSlash(at))] = here
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "verifier")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./cloisterverifier")
	cmd.Dir, cmd.Env = source, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
}

func startOne(ctx context.Context, program, name, part string) (*foreign, error) {
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "VERIFIER_KEY="+sigKey, "VERIFIER_SECRET="+sigSecret, "VERIFIER_REGION="+sigRegion, "VERIFIER_PART="+part)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &foreign{name + ", " + part, part, in, json.NewEncoder(in), json.NewDecoder(out), cmd}, cmd.Start()
}

// verify has a request verified n times.
func (f *foreign) verify(r *http.Request, n int) error {
	var wire strings.Builder
	if err := r.Write(&wire); err != nil {
		return err
	}
	var a struct{ Refused *string }
	if err := f.enc.Encode(map[string]any{"Request": wire.String(), "Times": n}); err != nil {
		return err
	}
	if err := f.dec.Decode(&a); err != nil {
		return err
	}
	if a.Refused == nil {
		return fmt.Errorf("%w: %s gives no verdict", errMeasurement, f.name)
	}
	if *a.Refused != "" {
		return fmt.Errorf("%s refuses: %s", f.name, *a.Refused)
	}
	return nil
}

// foreignRows has one call to a bucket verified by all, ours with a cached key
// first, then ours with a derived one, as the others do.
func foreignRows(ctx context.Context, quick bool, fs []*foreign) ([]row, error) {
	if len(fs) == 0 {
		return nil, nil
	}
	at := time.Now().UTC().Truncate(time.Second)
	call, err := newSignedCall(at, http.MethodPut, "http://storage.example/bucket/prefix/object.json", sigv4.Credentials{Service: "s3"})
	if err != nil {
		return nil, err
	}
	_, ours, err := ourVerifiers("s3", at)
	if err != nil {
		return nil, err
	}
	cs, err := contenders(ours, call)
	if err != nil {
		return nil, err
	}
	for _, f := range fs {
		if err := rightAbout(func(r *http.Request) error { return f.verify(r, 1) }, call, f.part == partWhole); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		cs = append(cs, contender{f.name, func(n int) error { return f.verify(call.rewind(), n) }})
	}
	rounds, slice := sigv4Pace(quick)
	took, err := interleave(ctx, cs, rounds, slice)
	if err != nil {
		return nil, err
	}
	for i := range took {
		took[i] *= 1e9
	}
	cached, err1 := rowsOf("sigv4/bucket", "ns", names(cs), took)
	derived, err2 := rowsOf("sigv4/bucket", "ns", names(cs[1:]), took[1:])
	return append(cached, derived...), errors.Join(err1, err2)
}
