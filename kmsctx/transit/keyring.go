package transit

import (
	"context"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// Provider is the provider of this keyring's encrypted data keys.
const Provider = "cloister-transit"

// Keyring makes and opens data keys with one transit key.
type Keyring struct {
	client
	name string
	info string
}

var (
	segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	// sealed is the engine's form: a prefix, the key's version, base64.
	sealed = regexp.MustCompile(`^vault:v[1-9][0-9]{0,8}:([A-Za-z0-9+/]+={0,2})$`)
)

func malformed(why string) error {
	return &kmsctx.Error{Op: "transit", Kind: kmsctx.ErrMalformed, Err: errors.New(why)}
}

// New returns the keyring of the key of that name. address is the server's,
// such as "https://bao.example:8200"; http is accepted for a loopback address.
// It makes no call.
func New(address string, token tenant.Secret, name string, opts *Options) (*Keyring, error) {
	c, err := newClient(address, token, opts)
	if err != nil {
		return nil, err
	}
	if !segment.MatchString(name) {
		return nil, malformed("a key's name has letters, digits and . _ - only")
	}
	return &Keyring{client: c, name: name, info: c.mount + "/" + name}, nil
}

func begin(ctx context.Context, op string, ec kmsctx.Context) error {
	if ec.IsZero() {
		return &kmsctx.Error{Op: op, Kind: kmsctx.ErrContext}
	}
	return ctx.Err()
}

// request and answer are the fields that the engine's calls share.
type request struct {
	Plaintext      []byte `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"`
	AssociatedData []byte `json:"associated_data,omitempty"`
	Bits           int    `json:"bits,omitempty"`
}

type answer struct {
	Plaintext  []byte `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
}

// GenerateDataKey implements [kmsctx.Keyring].
func (r *Keyring) GenerateDataKey(ctx context.Context, ec kmsctx.Context) (*kmsctx.DataKey, error) {
	const op = "transit: datakey"
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	var out answer
	if err := r.call(ctx, op, "datakey/plaintext/"+r.name, request{Bits: 8 * kmsctx.DataKeyLen, AssociatedData: ec.Canonical()}, &out); err != nil {
		return nil, err
	}
	if len(out.Plaintext) != kmsctx.DataKeyLen || !wellFormed(out.Ciphertext) {
		clear(out.Plaintext)
		return nil, r.noAnswer(op)
	}
	return &kmsctx.DataKey{Plaintext: out.Plaintext, Encrypted: []kmsctx.EncryptedDataKey{r.record(out.Ciphertext)}}, nil
}

// WrapDataKey implements [kmsctx.Wrapper] with encrypt.
func (r *Keyring) WrapDataKey(ctx context.Context, ec kmsctx.Context, plaintext []byte) ([]kmsctx.EncryptedDataKey, error) {
	const op = "transit: encrypt"
	if len(plaintext) != kmsctx.DataKeyLen {
		return nil, malformed("a data key has 32 bytes")
	}
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	var out answer
	if err := r.call(ctx, op, "encrypt/"+r.name, request{Plaintext: plaintext, AssociatedData: ec.Canonical()}, &out); err != nil {
		return nil, err
	}
	if !wellFormed(out.Ciphertext) {
		return nil, r.noAnswer(op)
	}
	return []kmsctx.EncryptedDataKey{r.record(out.Ciphertext)}, nil
}

// DecryptDataKey implements [kmsctx.Keyring].
func (r *Keyring) DecryptDataKey(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	const op = "transit: decrypt"
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	var errs []error
	for _, k := range keys {
		if k.Provider != Provider || string(k.Info) != r.info || !wellFormed(string(k.Ciphertext)) {
			continue
		}
		var out answer
		err := r.call(ctx, op, "decrypt/"+r.name, request{Ciphertext: string(k.Ciphertext), AssociatedData: ec.Canonical()}, &out)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			errs = append(errs, err)
			continue
		}
		if len(out.Plaintext) == kmsctx.DataKeyLen {
			return &kmsctx.DataKey{Plaintext: out.Plaintext}, nil
		}
		clear(out.Plaintext)
		errs = append(errs, r.noAnswer(op))
	}
	return nil, &kmsctx.Error{Op: op, Kind: kmsctx.ErrNoMatchingKey, KeyID: r.info, Err: errors.Join(errs...)}
}

func (r *Keyring) record(ciphertext string) kmsctx.EncryptedDataKey {
	return kmsctx.EncryptedDataKey{Provider: Provider, Info: []byte(r.info), Ciphertext: []byte(ciphertext)}
}

func (r *Keyring) noAnswer(op string) error {
	return &kmsctx.Error{Op: op, Kind: kmsctx.ErrUnavailable, KeyID: r.info, Err: errors.New("the answer holds no data key")}
}

// wellFormed accepts one text for each ciphertext: the server would read several.
func wellFormed(s string) bool {
	if !sealed.MatchString(s) {
		return false
	}
	text := s[strings.LastIndexByte(s, ':')+1:]
	b, err := base64.StdEncoding.DecodeString(text)
	return err == nil && base64.StdEncoding.EncodeToString(b) == text
}
