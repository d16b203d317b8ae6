package main

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/cloisterdev/cloister/tenant"
)

// maxFile is the longest file that is read whole, in bytes: a pipe or a device
// may have no end.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) { return readBounded(path, maxFile, false) }

// readSecret reads a file that holds secrets: nobody else may read it.
func readSecret(path string, limit int64) ([]byte, error) { return readBounded(path, limit, true) }

func readBounded(path string, limit int64, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); secret && mode.IsRegular() && mode.Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s: others can read it (mode %04o): chmod 600 it, and think about whether it still is a secret", path, mode.Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	if err != nil {
		clear(b)
		return nil, err
	}
	return b, nil
}

// rootKey reads a root key: 32 bytes, or their base64 and white space.
func rootKey(path string) (tenant.Secret, error) {
	b, err := readSecret(path, 1024)
	if err != nil {
		return tenant.Secret{}, err
	}
	if len(b) == 32 {
		return tenant.NewSecret(b), nil // which owns b from here on
	}
	defer clear(b)
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return tenant.Secret{}, fmt.Errorf("%s: %w", path, errNoRootKey)
	}
	return tenant.NewSecret(key), nil
}

var errNoRootKey = errors.New("a root key is 32 bytes, or their base64")

// keyPair reads a certificate, and its key as a file that holds secrets.
func keyPair(cert, key string) (tls.Certificate, error) {
	c, err := readFile(cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := readSecret(key, maxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer clear(k)
	pair, err := tls.X509KeyPair(c, k)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s, %s: %w", cert, key, err)
	}
	return pair, nil
}
