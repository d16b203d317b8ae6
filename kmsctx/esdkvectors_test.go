package kmsctx_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// vectorDir is the folder with the published vectors; doc/esdk-vectors.md says
// where they come from.
func vectorFile(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("CLOISTER_ESDK_VECTORS")
	if dir == "" {
		t.Skip("CLOISTER_ESDK_VECTORS does not name a folder with the AWS Encryption SDK's vectors")
	}
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("no %s in CLOISTER_ESDK_VECTORS", name)
	}
	return file
}

// static opens every message with one data key, whatever its record says.
type static []byte

func (s static) GenerateDataKey(context.Context, kmsctx.Context) (*kmsctx.DataKey, error) {
	return nil, kmsctx.ErrUnsupported
}

func (s static) DecryptDataKey(context.Context, kmsctx.Context, []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return &kmsctx.DataKey{Plaintext: bytes.Clone(s)}, nil
}

func foreign(t testing.TB, pairs map[string]string) kmsctx.Context {
	t.Helper()
	c, err := kmsctx.ForeignContext(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPublishedCompatibilityVectors(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile(vectorFile(t, "fixtures.ts"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Ciphertext string
		Commitment string
		Key        string            `json:"decrypted-dek"`
		Context    map[string]string `json:"encryption-context"`
		Exception  *string
		Plaintext  []string `json:"plaintext-frames"`
		Status     bool
		Comment    string
	}
	_, part, _ := strings.Cut(string(src), "export function compatibilityVectors")
	_, part, _ = strings.Cut(part, "return {")
	_, part, _ = strings.Cut(part, "tests: ")
	if err := json.NewDecoder(strings.NewReader(literalJSON(part))).Decode(&vectors); err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for _, v := range vectors {
		m, err1 := base64.StdEncoding.DecodeString(strings.TrimSpace(v.Ciphertext))
		key, err2 := base64.StdEncoding.DecodeString(v.Key)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%s: %v", v.Comment, err)
		}
		delete(v.Context, "aws-crypto-public-key")
		c := foreign(t, v.Context)
		e, err := kmsctx.New(static(key), &kmsctx.Options{AllowUnframed: true})
		if err != nil {
			t.Fatal(err)
		}
		for name, open := range openWays {
			got, err := open(e, m, c)
			switch {
			case name == "ReaderAt":
			case v.Status && (err != nil || string(got) != strings.Join(v.Plaintext, "")):
				t.Errorf("%s, %s: %v", v.Comment, name, err)
			case !v.Status && (!errors.Is(err, kmsctx.ErrCommitment) || len(got) > 0):
				t.Errorf("%s, %s: opened, or the wrong error: %v", v.Comment, name, err)
			}
		}
		u, err := kmsctx.InspectUnverified(m)
		if err != nil {
			t.Errorf("%s: %v", v.Comment, err)
		}
		if !u.Framed { // and without the option
			e, _ := kmsctx.New(static(key), nil)
			if _, err := e.Open(t.Context(), nil, m, c); !errors.Is(err, kmsctx.ErrUnsupported) {
				t.Errorf("%s, non-framed and not asked for: %v", v.Comment, err)
			}
		}
		if v.Status {
			good++
		} else {
			bad++
		}
	}
	if good != 41 || bad != 5 {
		t.Errorf("%d good and %d bad vectors, want 41 and 5", good, bad)
	}
	t.Logf("%d vectors opened, %d commitment attacks refused", good, bad)
}

// Nothing with key commitment in the file is left out: it holds the messages of
// the test above, those of the tests of hierarchy, and no more.
func TestPublishedFixturesAreAllRead(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile(vectorFile(t, "fixtures.ts"))
	if err != nil {
		t.Fatal(err)
	}
	const compatibility, hierarchical, highCodePoints = 46, 4, 1
	// A header is also given alone, and repeats a message's beginning.
	found := 0
	for _, m := range regexp.MustCompile(`(header:)?\s*'(Ag[RV]4[A-Za-z0-9+/=]+)'`).FindAllStringSubmatch(string(src), -1) {
		if m[1] == "" {
			found++
		}
	}
	if want := compatibility + hierarchical + highCodePoints; found != want {
		t.Errorf("%d messages of version 2, and %d are read or listed in doc/esdk-vectors.md", found, want)
	}
}

// literalJSON turns the beginning of a literal of another language, up to its
// closing bracket, into JSON: single quotes, bare keys, commas at the end.
func literalJSON(s string) string {
	var b strings.Builder
	depth, comma := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if unicode.IsSpace(rune(c)) {
			continue
		}
		if c == ',' {
			comma = true
			continue
		}
		if comma && c != ']' && c != '}' {
			b.WriteByte(',')
		}
		comma = false
		switch {
		case c == '\'':
			j := i + 1 + strings.IndexByte(s[i+1:], '\'')
			q, _ := json.Marshal(s[i+1 : j])
			b.Write(q)
			i = j
		case unicode.IsLetter(rune(c)):
			j := i
			for j < len(s) && (unicode.IsLetter(rune(s[j])) || unicode.IsDigit(rune(s[j])) || s[j] == '_') {
				j++
			}
			if w := s[i:j]; s[j] == ':' {
				b.WriteString(`"` + w + `"`)
			} else {
				b.WriteString(w)
			}
			i = j - 1
		default:
			if c == '[' || c == '{' {
				depth++
			}
			b.WriteByte(c)
			if c == ']' || c == '}' {
				if depth--; depth == 0 {
					return b.String()
				}
			}
		}
	}
	return b.String()
}

// rsaOAEP opens records wrapped with RSA-OAEP; Cloister has no such keyring, as
// OAEP binds no context.
type rsaOAEP struct {
	static
	provider string
	key      *rsa.PrivateKey
}

func (r rsaOAEP) DecryptDataKey(_ context.Context, _ kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	for _, k := range keys {
		if k.Provider != r.provider {
			continue
		}
		if plain, err := rsa.DecryptOAEP(sha512.New(), nil, r.key, k.Ciphertext, nil); err == nil {
			return &kmsctx.DataKey{Plaintext: plain}, nil
		}
	}
	return nil, kmsctx.ErrNoMatchingKey
}

type masterKey struct {
	Type, Key, Hash  string
	Provider         string `json:"provider-id"`
	Algorithm        string `json:"encryption-algorithm"`
	PaddingAlgorithm string `json:"padding-algorithm"`
	PaddingHash      string `json:"padding-hash"`
}

func TestPublishedManifests(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file                         string
		opens, refused, kms, notOurs int
	}{
		{"v4-Net-4.0.1.zip", 18, 0, 6, 108},
		{"valid-Net-4.0.0.zip", 2, 0, 0, 3},
		{"invalid-Net-4.0.0.zip", 0, 4, 0, 24},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			z, err := zip.OpenReader(vectorFile(t, tc.file))
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			read := func(name string) []byte {
				f, err := z.Open(strings.TrimPrefix(name, "file://"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				b, err := io.ReadAll(f)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			var manifest struct {
				Tests map[string]struct {
					Ciphertext string
					Keys       []masterKey       `json:"master-keys"`
					Context    map[string]string `json:"encryption-context"`
					Result     struct{ Output struct{ Plaintext string } }
				}
			}
			var keys struct {
				Keys map[string]struct {
					Encoding, Material string
					ID                 string `json:"key-id"`
				}
			}
			if err := errors.Join(json.Unmarshal(read("manifest.json"), &manifest), json.Unmarshal(read("keys.json"), &keys)); err != nil {
				t.Fatal(err)
			}
			var opens, refused, kms, notOurs int
			for name, v := range manifest.Tests {
				m, plain := read(v.Ciphertext), read(v.Result.Output.Plaintext)
				var ring kmsctx.Keyring
				for _, k := range v.Keys {
					if k.Type != "raw" {
						continue
					}
					material := keys.Keys[k.Key]
					switch k.Algorithm {
					case "aes":
						b, err := base64.StdEncoding.DecodeString(material.Material)
						if err != nil {
							t.Fatal(err)
						}
						if ring, err = kmsctx.NewRawAES(k.Provider, material.ID, tenant.NewSecret(b)); err != nil {
							t.Fatal(err)
						}
					case "rsa":
						block, _ := pem.Decode([]byte(material.Material))
						if block == nil || k.PaddingHash != "sha512" {
							continue
						}
						private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
						if err != nil {
							continue // the public half
						}
						ring = rsaOAEP{provider: k.Provider, key: private.(*rsa.PrivateKey)}
					}
				}
				_, err := kmsctx.InspectUnverified(m)
				if errors.Is(err, kmsctx.ErrUnsupported) {
					notOurs++ // suites without key commitment
					continue
				}
				if ring == nil {
					kms++ // needs AWS
					continue
				}
				o := &kmsctx.Options{AllowUnframed: true}
				for k := range v.Context {
					o.Withheld = append(o.Withheld, k)
				}
				e, err := kmsctx.New(ring, o)
				if err != nil {
					t.Fatal(err)
				}
				got, err := e.Open(t.Context(), nil, m, foreign(t, v.Context))
				switch {
				case err == nil && bytes.Equal(got, plain):
					opens++
				case err == nil:
					t.Errorf("%s: another plaintext", name)
				default:
					refused++
					t.Logf("%s: %v", name, err)
				}
			}
			if opens != tc.opens || refused != tc.refused || kms != tc.kms || notOurs != tc.notOurs {
				t.Errorf("%d open, %d refused, %d need AWS, %d of other suites; want %+v", opens, refused, kms, notOurs, tc)
			}
		})
	}
}
