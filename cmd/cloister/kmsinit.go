package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
)

// init makes the two files that serve needs, where they are not there. What is
// there and cannot go with the other keeps init from making any.
func (a kmsArgs) init(out io.Writer) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	defer clear(key)
	secret := make([]byte, 40)
	_, _ = rand.Read(secret)
	type principal struct {
		AccessKeyID     string `json:"accessKeyId"`
		SecretAccessKey string `json:"secretAccessKey"`
		ARN             string `json:"arn"`
	}
	who := principal{"AKID" + strings.ToUpper(hex.EncodeToString(secret[:8])), base64.RawURLEncoding.EncodeToString(secret[8:]), "arn:aws:iam::" + a.account + ":root"}
	b, err := json.MarshalIndent(map[string][]principal{"principals": {who}}, "", "  ")
	if err != nil {
		return err
	}
	files := []struct {
		path  string
		b     []byte
		check func(path string) error
	}{
		{a.root, key, func(path string) error {
			k, err := rootKey(path)
			k.Destroy()
			return err
		}},
		{a.principals, append(b, '\n'), a.checkPrincipals},
	}
	for _, f := range files {
		switch err := f.check(f.path); {
		case errors.Is(err, errNoRootKey), errors.Is(err, kmsserver.ErrConfig):
			return fmt.Errorf("%w; move it away, and init makes one", err)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err // one that may be good: a store may need it
		}
	}
	for _, f := range files {
		err := durable.Create(f.path, f.b, 0o600)
		if errors.Is(err, fs.ErrExist) {
			fmt.Fprintf(out, "%s is there already and stays as it is\n", f.path)
			continue
		}
		if err != nil {
			return about(f.path, err)
		}
		fmt.Fprintf(out, "made %s\n", f.path)
	}
	return nil
}

// principals reads a principals file.
func principals(path string) (*kmsserver.Principals, error) {
	b, err := readSecret(path, maxFile)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	who, err := kmsserver.ParsePrincipals(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return who, nil
}

func (a kmsArgs) checkPrincipals(path string) error {
	who, err := principals(path)
	if err != nil {
		return err
	}
	return a.sameAccount(who)
}

func (a kmsArgs) sameAccount(who *kmsserver.Principals) error {
	if all := who.Accounts(); !slices.Contains(all, a.account) {
		return fmt.Errorf("%s: its principals are of account %s, and the keys would be of account %s, where nobody could make one: use --account %s, or give an arn the other account",
			a.principals, strings.Join(all, ", "), a.account, all[0])
	}
	return nil
}
