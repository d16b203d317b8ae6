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
		if e := (*os.PathError)(nil); errors.As(err, &e) {
			err = e.Err // e names a file that nobody asked for
		}
		return fmt.Errorf("-o %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	w := bufio.NewWriterSize(tmp, 128<<10)
	if err = f(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
