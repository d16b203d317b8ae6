package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// pythonVariable names the program of the official implementation for Python,
// which is the fastest of them: with the common command line of
// bench/interop/esdk, and the verb bench.
const pythonVariable = "CLOISTER_ESDK_PYTHON"

const (
	pythonSize  = 10 << 20
	pythonFrame = 64 << 10
)

// python is that program with a key and a context of its own. It measures
// itself, by the CPU time of its process.
type python struct {
	path string
	args []string
	env  *kmsctx.Envelope
	ec   kmsctx.Context
}

// newPython returns nil, and why, where no program is named.
func newPython(path string) (*python, string, error) {
	if path == "" {
		return nil, "the rows seal/10MiB-64KiB and open/10MiB-64KiB are left out: " + pythonVariable + " does not name the program of the official implementation for Python", nil
	}
	key := random(kmsctx.DataKeyLen)
	pairs := map[string]string{"tenant": "tn-0123456789", "purpose": "bench"}
	p := &python{path: path, args: []string{"--key", hex.EncodeToString(key), "--frame", strconv.Itoa(pythonFrame)}}
	for k, v := range pairs {
		p.args = append(p.args, "--context", k+"="+v)
	}
	ring, err := kmsctx.NewRawAES("cloister", "test", tenant.NewSecret(key))
	if err != nil {
		return nil, "", err
	}
	if p.env, err = kmsctx.New(ring, nil); err != nil {
		return nil, "", err
	}
	p.ec, err = kmsctx.NewContext(pairs)
	return p, "", err
}

func (p *python) call(ctx context.Context, in []byte, verb string, more ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.path, append(append([]string{verb}, p.args...), more...)...)
	var errOut bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &errOut
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", pythonVariable, verb, err, strings.TrimSpace(errOut.String()))
	}
	return out, nil
}

// check demands that each opens what the other sealed, and that the program
// does not open it with a bit changed.
func (p *python) check(ctx context.Context) error {
	plain := random(pythonFrame + 1)
	theirs, err := p.call(ctx, plain, "encrypt")
	if err != nil {
		return err
	}
	if got, err := p.env.Open(ctx, nil, theirs, p.ec); err != nil || !bytes.Equal(got, plain) {
		return fmt.Errorf("%s: what it sealed does not open: %w", pythonVariable, err)
	}
	mine, err := p.env.Seal(ctx, nil, plain, p.ec)
	if err != nil {
		return err
	}
	if got, err := p.call(ctx, mine, "decrypt"); err != nil || !bytes.Equal(got, plain) {
		return fmt.Errorf("%s: it does not open what was sealed: %w", pythonVariable, err)
	}
	mine[len(mine)-1] ^= 1
	if _, err := p.call(ctx, mine, "decrypt"); err == nil {
		return fmt.Errorf("%s: it opens what was altered", pythonVariable)
	}
	return nil
}

// seconds are what it took by its own clock, to seal and to open.
func (p *python) seconds(ctx context.Context, runs int) (seal, open float64, err error) {
	out, err := p.call(ctx, nil, "bench", "--size", strconv.Itoa(pythonSize), "--runs", strconv.Itoa(runs))
	if err != nil {
		return 0, 0, err
	}
	return pythonSeconds(out)
}

// pythonSeconds reads a line for each operation, and refuses figures of another
// size, frame or suite.
func pythonSeconds(out []byte) (seal, open float64, err error) {
	took := map[string]float64{}
	for line := range bytes.Lines(out) {
		var l struct {
			Op, Suite   string
			Size, Frame int
			CPU         float64 `json:"cpu_ms"`
		}
		if err := json.Unmarshal(line, &l); err != nil {
			return 0, 0, fmt.Errorf("%w: %s: %w", errMeasurement, pythonVariable, err)
		}
		if l.Size != pythonSize || l.Frame != pythonFrame || l.Suite != "0478" || l.CPU <= 0 || took[l.Op] != 0 {
			return 0, 0, fmt.Errorf("%w: %s says %s", errMeasurement, pythonVariable, bytes.TrimSpace(line))
		}
		took[l.Op] = l.CPU / 1e3
	}
	if len(took) != 2 || took["encrypt"] == 0 || took["decrypt"] == 0 {
		return 0, 0, fmt.Errorf("%w: %s says %d operations", errMeasurement, pythonVariable, len(took))
	}
	return took["encrypt"], took["decrypt"], nil
}

// rows measures ours and the program in turns. The start of its process counts
// for nothing.
func (p *python) rows(ctx context.Context, ours party, quick bool) ([]row, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	seal, err1 := sealing(ours, pythonSize)
	open, err2 := opening(ours, pythonSize)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := errors.Join(seal(1), open(1)); err != nil { // warm
		return nil, err
	}
	rounds, runs := 7, 5
	if quick {
		rounds, runs = 1, 1
	}
	// Ours and theirs, to seal and to open.
	var took [4][]float64
	err := turns(ctx, 2, rounds, func(i int) error {
		if i == 1 {
			s, o, err := p.seconds(ctx, runs)
			took[1], took[3] = append(took[1], s), append(took[3], o)
			return err
		}
		for k, run := range []func(int) error{seal, open} {
			const n = 10
			start := cpuTime()
			if err := run(n); err != nil {
				return err
			}
			took[2*k] = append(took[2*k], (cpuTime()-start).Seconds()/n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var values [4]float64
	for i, t := range took {
		values[i] = pythonSize / 1e6 / median(t)
	}
	who := []string{ours.name, "esdk-python"}
	s, err1 := rowsOf("seal/10MiB-64KiB", "MB/s", who, values[:2])
	o, err2 := rowsOf("open/10MiB-64KiB", "MB/s", who, values[2:])
	return append(s, o...), errors.Join(err1, err2)
}
