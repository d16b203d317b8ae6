// Package sabotage asks of a test whether it can fail: it runs the test on a
// copy of the code in which one control is broken, and wants to see it red.
//
// The copy is an overlay of the go command; no file of the module is written,
// and no switch that turns a control off stands in the code. A patch must apply
// to exactly one place, so that a control that was rewritten is noticed, and a
// patch that does not compile is no proof of anything.
//
//	ErrText      the old text is not in the file, or more than once
//	ErrBuild     the patched code, or its test, does not compile
//	ErrNoTest    no test of that name ran
//	ErrSurvived  the test passed: it does not see the control
//
// It says nothing about controls that nobody breaks here, and a test may be red
// for another reason than the one that was meant.
package sabotage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrText     = errors.New("sabotage: the text is not there exactly once")
	ErrBuild    = errors.New("sabotage: it does not compile")
	ErrNoTest   = errors.New("sabotage: the test did not run")
	ErrSurvived = errors.New("sabotage: the test passed without the control")
)

// Patch breaks one control.
type Patch struct {
	File     string // below the module's root, with slashes
	Old, New string
}

// Caught runs one test of a package, by its whole name as "TestX/row", with the
// patch in place, and returns nil if the test failed. The root is the module's
// folder, and pkg a path below it such as "./fas". The output of the go command
// or of the test is in the error.
func Caught(ctx context.Context, root, pkg, test string, p Patch) (err error) {
	tmp, err := os.MkdirTemp("", "sabotage")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := overlay(tmp, root, p); err != nil {
		return err
	}
	bin := filepath.Join(tmp, "patched.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", filepath.Join(tmp, "overlay.json"), "-o", bin, pkg)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", ErrBuild, out)
	}
	run := exec.CommandContext(ctx, bin, "-test.v", "-test.count=1", "-test.run", pattern(test))
	run.Dir = filepath.Join(root, filepath.FromSlash(pkg))
	out, runErr := run.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bytes.Contains(out, []byte("--- FAIL: "+test+" (")) && runErr != nil:
		return nil
	case bytes.Contains(out, []byte("--- PASS: "+test+" (")):
		return fmt.Errorf("%w:\n%s", ErrSurvived, out)
	case bytes.Contains(out, []byte("=== RUN   "+test+"\n")) && runErr != nil:
		return nil // it took the process with it
	}
	return fmt.Errorf("%w:\n%s", ErrNoTest, out)
}

func overlay(tmp, root string, p Patch) error {
	file := filepath.Join(root, filepath.FromSlash(p.File))
	src, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrText, err)
	}
	if n := strings.Count(string(src), p.Old); n != 1 || p.Old == p.New {
		return fmt.Errorf("%w: %s has it %d times: %s", ErrText, p.File, n, p.Old)
	}
	patched := filepath.Join(tmp, filepath.Base(p.File))
	if err := os.WriteFile(patched, []byte(strings.Replace(string(src), p.Old, p.New, 1)), 0o600); err != nil {
		return err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {abs: patched}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tmp, "overlay.json"), b, 0o600)
}

// pattern matches exactly the test.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + p + "$"
	}
	return strings.Join(parts, "/")
}
