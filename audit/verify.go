package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Report is what [Verify] found in a good log.
type Report struct {
	Records int64  // lines in the log
	Signed  int64  // lines covered by the checkpoint
	Root    string // Merkle root at the checkpoint
	Key     string // the public key that verified it
}

// VerifyOptions change what [Verify] trusts.
type VerifyOptions struct {
	// PublicKey is the log's public key, kept elsewhere. Empty means the key
	// file beside the log, which tells accident from nothing, and tampering
	// only by whoever cannot replace that file.
	PublicKey string
}

// Verify reads the whole log and checks every line, the chain, and the signed
// checkpoint. What is wrong with the log wraps [ErrTampered], [ErrTruncated] or
// [ErrNoCheckpoint]; that dir cannot be read, or that the caller's PublicKey is
// none, says nothing about a log and wraps none of them.
func Verify(dir string, opts *VerifyOptions) (Report, error) {
	var o VerifyOptions
	if opts != nil {
		o = *opts
	}
	if _, err := os.ReadDir(dir); err != nil {
		return Report{}, err
	}
	cp, err := readCheckpoint(dir, o.PublicKey)
	if err != nil {
		return Report{}, err
	}
	t := &tree{}
	var at tlog.Hash
	if cp.n == 0 {
		if at, err = t.root(); err != nil {
			return Report{}, err
		}
	}
	err = eachLine(dir, func(line []byte) error {
		if _, err := t.check(line); err != nil {
			return err
		}
		if t.n == cp.n {
			at, err = t.root()
		}
		return err
	})
	if err != nil {
		return Report{}, err
	}
	if t.n < cp.n {
		return Report{}, fmt.Errorf("%w: %d records, the checkpoint has %d", ErrTruncated, t.n, cp.n)
	}
	if at != cp.root {
		return Report{}, fmt.Errorf("%w: the records are not those that were signed", ErrTampered)
	}
	return Report{Records: t.n, Signed: cp.n, Root: cp.root.String(), Key: cp.key}, nil
}

// Read yields the log's events in order, checking the chain as it goes.
func Read(dir string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		t := &tree{}
		stop := errors.New("stop")
		err := eachLine(dir, func(line []byte) error {
			e, err := t.check(line)
			if err != nil {
				return err
			}
			if !yield(e, nil) {
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			yield(Event{}, err)
		}
	}
}

func eachLine(dir string, f func([]byte) error) error {
	file, err := os.Open(filepath.Join(dir, recordsFile))
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, maxLine+1)
	for {
		line, err := r.ReadSlice('\n')
		if err == io.EOF {
			// A line without its newline was never acknowledged.
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: a line is too long", ErrTampered)
		}
		if err := f(line[:len(line)-1]); err != nil {
			return err
		}
	}
}

type checkpoint struct {
	n    int64
	root tlog.Hash
	key  string
}

func readCheckpoint(dir, public string) (checkpoint, error) {
	given := public != ""
	if !given {
		b, err := os.ReadFile(filepath.Join(dir, publicFile))
		if err != nil {
			return checkpoint{}, fmt.Errorf("%w: %w", ErrNoCheckpoint, err)
		}
		public = strings.TrimSpace(string(b))
	}
	v, err := note.NewVerifier(public)
	if err != nil && given {
		return checkpoint{}, fmt.Errorf("audit: the given public key is none: it is what %s of a log says", publicFile)
	}
	if err != nil {
		return checkpoint{}, fmt.Errorf("%w: the public key is malformed", ErrTampered)
	}
	b, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		return checkpoint{}, fmt.Errorf("%w: %w", ErrNoCheckpoint, err)
	}
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		return checkpoint{}, fmt.Errorf("%w: the checkpoint's signature", ErrTampered)
	}
	return parseCheckpoint(n.Text, public)
}

func parseCheckpoint(text, key string) (checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != keyName || lines[3] != "" {
		return checkpoint{}, fmt.Errorf("%w: the checkpoint's form", ErrTampered)
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != lines[1] {
		return checkpoint{}, fmt.Errorf("%w: the checkpoint's size", ErrTampered)
	}
	h, err := tlog.ParseHash(lines[2])
	if err != nil {
		return checkpoint{}, fmt.Errorf("%w: the checkpoint's root", ErrTampered)
	}
	return checkpoint{n, h, key}, nil
}

// checkAgainst compares a loaded tree with the checkpoint on disk.
func checkAgainst(dir string, t *tree) (checkpoint, error) {
	cp, err := readCheckpoint(dir, "")
	if err != nil {
		return cp, err
	}
	if t.n < cp.n {
		return cp, fmt.Errorf("%w: %d records, the checkpoint has %d", ErrTruncated, t.n, cp.n)
	}
	if cp.n == 0 {
		return cp, nil
	}
	root, err := tlog.TreeHash(cp.n, t)
	if err != nil {
		return cp, err
	}
	if root != cp.root {
		return cp, fmt.Errorf("%w: the records are not those that were signed", ErrTampered)
	}
	return cp, nil
}
