package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writeTo gives f standard output, or a file that appears only when f
// succeeds.
func writeTo(path string, out io.Writer, f func(io.Writer) error) (err error) {
	if path == "" {
		w := bufio.NewWriterSize(out, 128<<10)
		if err := f(w); err != nil {
			return err
		}
		return w.Flush()
	}
	if i, err := os.Lstat(path); err == nil && i.Mode()&^os.ModePerm&^os.ModeSymlink != 0 {
		return fmt.Errorf("%s: -o names what is no file; it would be replaced by one", path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("-o %w", about(path, err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	w := bufio.NewWriterSize(target{tmp, path}, 128<<10)
	if err = f(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		if err = tmp.Sync(); err != nil {
			err = about(path, err)
		}
	}
	if cerr := tmp.Close(); err == nil && cerr != nil {
		err = about(path, cerr)
	}
	if err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		err = about(path, err)
	}
	return err
}

// target is a file that gets the name path when it is whole.
type target struct {
	f    *os.File
	path string
}

// Write implements io.Writer.
func (t target) Write(b []byte) (int, error) {
	n, err := t.f.Write(b)
	if err != nil {
		err = about(t.path, err)
	}
	return n, err
}

// about says what went wrong with path. What the system says names a temporary
// file that nobody asked for.
func about(path string, err error) error {
	var p *os.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		err = p.Err
	case errors.As(err, &l):
		err = l.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
