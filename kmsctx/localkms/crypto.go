package localkms

import (
	"bytes"
	"context"
	"crypto/rand"
	"strconv"
)

// algorithm is the one of symmetric keys, and the default.
const algorithm = "SYMMETRIC_DEFAULT"

func wants(algorithms ...string) error {
	for _, a := range algorithms {
		if a != "" && a != algorithm {
			return invalid("EncryptionAlgorithm is %s", algorithm)
		}
	}
	return nil
}

// forUse is permitted, for a use of the key under an encryption context.
func (c *call) forUse(name string, tokens []string, a access) (id string, k *key, canon []byte, err error) {
	if canon, err = canonical(a.pairs); err != nil {
		return "", nil, nil, err
	}
	if id, k, err = c.permitted(name, tokens, a); err != nil {
		return "", nil, nil, err
	}
	return id, k, canon, k.ready()
}

func use(op string, pairs map[string]string) access {
	return access{op: op, grantOp: op, pairs: pairs, more: map[string]string{"kms:encryptionalgorithm": algorithm}}
}

// EncryptInput is AWS's.
type EncryptInput struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	EncryptionContext   map[string]string
	GrantTokens         []string
	EncryptionAlgorithm string
	DryRun              *bool
}

// Ciphertext is the output of Encrypt.
type Ciphertext struct {
	CiphertextBlob      []byte
	KeyID               string `json:"KeyId"`
	EncryptionAlgorithm string
}

// Encrypt encrypts up to 4096 bytes, bound to the encryption context.
func (s *Service) Encrypt(ctx context.Context, who Principal, in *EncryptInput) (*Ciphertext, error) {
	c := s.begin("Encrypt", who, in.DryRun)
	c.event.Context = in.EncryptionContext
	return read(ctx, c, true, func() (*Ciphertext, error) {
		if len(in.Plaintext) == 0 || len(in.Plaintext) > maxPlain {
			return nil, invalid("Plaintext has 1 to %d bytes", maxPlain)
		}
		if err := wants(in.EncryptionAlgorithm); err != nil {
			return nil, err
		}
		id, k, canon, err := c.forUse(in.KeyID, in.GrantTokens, use("Encrypt", in.EncryptionContext))
		if err != nil {
			return nil, err
		}
		sealed, err := k.encrypt(id, in.Plaintext, canon)
		if err != nil {
			return nil, err
		}
		return &Ciphertext{sealed, s.arn("key/" + id), algorithm}, nil
	})
}

// DecryptInput is AWS's. Recipient is not supported.
type DecryptInput struct {
	CiphertextBlob      []byte
	KeyID               string `json:"KeyId"` // optional; pins the key
	EncryptionContext   map[string]string
	GrantTokens         []string
	EncryptionAlgorithm string
	DryRun              *bool
}

// Plaintext is the output of Decrypt.
type Plaintext struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	EncryptionAlgorithm string
	KeyMaterialID       string `json:"KeyMaterialId"`
}

// Decrypt opens a ciphertext under exactly its encryption context. A wrong
// context and an altered ciphertext cannot be told apart.
func (s *Service) Decrypt(ctx context.Context, who Principal, in *DecryptInput) (*Plaintext, error) {
	c := s.begin("Decrypt", who, in.DryRun)
	c.event.Context = in.EncryptionContext
	return read(ctx, c, false, func() (*Plaintext, error) {
		if err := wants(in.EncryptionAlgorithm); err != nil {
			return nil, err
		}
		id, plain, v, err := c.decrypt(in.KeyID, in.CiphertextBlob, in.GrantTokens, use("Decrypt", in.EncryptionContext))
		if err != nil {
			return nil, err
		}
		return &Plaintext{s.arn("key/" + id), plain, algorithm, v.id()}, nil
	})
}

// decrypt opens a ciphertext with the key that it names, if the caller may use
// that key, and with no other than the one that the caller names.
func (c *call) decrypt(name string, ciphertext []byte, tokens []string, a access) (string, []byte, *version, error) {
	if len(ciphertext) == 0 || len(ciphertext) > 6144 {
		return "", nil, nil, invalid("CiphertextBlob has 1 to 6144 bytes")
	}
	b, ok := parseBlob(ciphertext)
	if !ok {
		return "", nil, nil, ErrInvalidCiphertext
	}
	if name == "" {
		name = b.key
		if c.st.live(name, c.now) == nil {
			if err := c.unknown(name); err != ErrUnknown {
				return "", nil, nil, err
			}
			return "", nil, nil, ErrInvalidCiphertext
		}
	}
	id, k, canon, err := c.forUse(name, tokens, a)
	if err != nil {
		return "", nil, nil, err
	}
	if id != b.key {
		return "", nil, nil, ErrIncorrectKey
	}
	plain, v, err := k.decrypt(b, canon)
	return id, plain, v, err
}

// ReEncryptInput is AWS's.
type ReEncryptInput struct {
	CiphertextBlob                 []byte
	SourceKeyID                    string `json:"SourceKeyId"`
	SourceEncryptionContext        map[string]string
	DestinationKeyID               string `json:"DestinationKeyId"`
	DestinationEncryptionContext   map[string]string
	SourceEncryptionAlgorithm      string
	DestinationEncryptionAlgorithm string
	GrantTokens                    []string
	DryRun                         *bool
}

// ReEncrypted is the output of ReEncrypt.
type ReEncrypted struct {
	CiphertextBlob                 []byte
	SourceKeyID                    string `json:"SourceKeyId"`
	KeyID                          string `json:"KeyId"`
	SourceEncryptionAlgorithm      string
	DestinationEncryptionAlgorithm string
	SourceKeyMaterialID            string `json:"SourceKeyMaterialId"`
	DestinationKeyMaterialID       string `json:"DestinationKeyMaterialId"`
}

// ReEncrypt moves a ciphertext to another key, another encryption context, or
// the newest material, without showing what is in it.
func (s *Service) ReEncrypt(ctx context.Context, who Principal, in *ReEncryptInput) (*ReEncrypted, error) {
	c := s.begin("ReEncrypt", who, in.DryRun)
	c.event.Context, c.event.ToContext = in.SourceEncryptionContext, in.DestinationEncryptionContext
	return read(ctx, c, true, func() (*ReEncrypted, error) {
		if err := wants(in.SourceEncryptionAlgorithm, in.DestinationEncryptionAlgorithm); err != nil {
			return nil, err
		}
		if err := c.readTokens(in.GrantTokens); err != nil {
			return nil, err
		}
		// Both keys are known before either is used: policies may ask whether
		// they are one. That the second is not there is said after the first
		// has been used, as that it may not be used is.
		toID, _, _ := c.resolve(in.DestinationKeyID)
		c.event.KeyID = ""
		same := access{op: "ReEncryptFrom", grantOp: "ReEncryptFrom", pairs: in.SourceEncryptionContext, more: map[string]string{"kms:encryptionalgorithm": algorithm}}
		b, _ := parseBlob(in.CiphertextBlob)
		same.more["kms:reencryptonsamekey"] = strconv.FormatBool(b.key == toID)
		id, plain, from, err := c.decrypt(in.SourceKeyID, in.CiphertextBlob, in.GrantTokens, same)
		if err != nil {
			return nil, err
		}
		defer clear(plain)
		granted := c.event.GrantID
		same.op, same.grantOp, same.pairs = "ReEncryptTo", "ReEncryptTo", in.DestinationEncryptionContext
		toID, to, canon, err := c.forUse(in.DestinationKeyID, in.GrantTokens, same)
		if err != nil {
			return nil, err
		}
		c.event.KeyID, c.event.ToKeyID = id, toID
		if granted != "" {
			c.event.GrantID = granted
		}
		sealed, err := to.encrypt(toID, plain, canon)
		if err != nil {
			return nil, err
		}
		return &ReEncrypted{sealed, s.arn("key/" + id), s.arn("key/" + toID), algorithm, algorithm,
			from.id(), to.Versions[len(to.Versions)-1].id()}, nil
	})
}

// GenerateDataKeyInput is AWS's. Recipient is not supported.
type GenerateDataKeyInput struct {
	KeyID             string `json:"KeyId"`
	EncryptionContext map[string]string
	NumberOfBytes     *int
	KeySpec           string
	GrantTokens       []string
	DryRun            *bool
}

// DataKey is the output of GenerateDataKey, and without Plaintext of
// GenerateDataKeyWithoutPlaintext.
type DataKey struct {
	CiphertextBlob []byte
	Plaintext      []byte `json:",omitempty"`
	KeyID          string `json:"KeyId"`
	KeyMaterialID  string `json:"KeyMaterialId"`
}

// GenerateDataKey makes random bytes and encrypts them.
func (s *Service) GenerateDataKey(ctx context.Context, who Principal, in *GenerateDataKeyInput) (*DataKey, error) {
	return s.dataKey(ctx, "GenerateDataKey", who, in)
}

// GenerateDataKeyWithoutPlaintext is GenerateDataKey for who needs the key
// later, or elsewhere.
func (s *Service) GenerateDataKeyWithoutPlaintext(ctx context.Context, who Principal, in *GenerateDataKeyInput) (*DataKey, error) {
	out, err := s.dataKey(ctx, "GenerateDataKeyWithoutPlaintext", who, in)
	if err != nil {
		return nil, err
	}
	clear(out.Plaintext)
	out.Plaintext = nil
	return out, nil
}

func (s *Service) dataKey(ctx context.Context, op string, who Principal, in *GenerateDataKeyInput) (*DataKey, error) {
	c := s.begin(op, who, in.DryRun)
	c.event.Context = in.EncryptionContext
	return read(ctx, c, true, func() (*DataKey, error) {
		n, ok := map[string]int{"AES_256": 32, "AES_128": 16}[in.KeySpec]
		switch {
		case in.NumberOfBytes != nil && in.KeySpec == "":
			n = *in.NumberOfBytes
		case in.NumberOfBytes != nil || !ok:
			return nil, invalid("either KeySpec, AES_256 or AES_128, or NumberOfBytes")
		}
		if n < 1 || n > 1024 {
			return nil, invalid("NumberOfBytes is 1 to 1024")
		}
		id, k, canon, err := c.forUse(in.KeyID, in.GrantTokens, use(op, in.EncryptionContext))
		if err != nil {
			return nil, err
		}
		plain := make([]byte, n)
		_, _ = rand.Read(plain)
		sealed, err := k.encrypt(id, plain, canon)
		if err != nil {
			return nil, err
		}
		return &DataKey{sealed, plain, s.arn("key/" + id), k.Versions[len(k.Versions)-1].id()}, nil
	})
}

// GenerateRandomInput is AWS's. Recipient and CustomKeyStoreId are not
// supported.
type GenerateRandomInput struct{ NumberOfBytes *int }

// Random is GenerateRandom's output.
type Random struct{ Plaintext []byte }

// GenerateRandom returns 1 to 1024 random bytes.
func (s *Service) GenerateRandom(ctx context.Context, who Principal, in *GenerateRandomInput) (*Random, error) {
	c := s.begin("GenerateRandom", who, nil)
	return read(ctx, c, false, func() (*Random, error) {
		if err := c.allowAccount("GenerateRandom", nil, nil); err != nil {
			return nil, err
		}
		if in.NumberOfBytes == nil || *in.NumberOfBytes < 1 || *in.NumberOfBytes > 1024 {
			return nil, invalid("NumberOfBytes is 1 to 1024")
		}
		b := bytes.Repeat([]byte{0}, *in.NumberOfBytes)
		_, _ = rand.Read(b)
		return &Random{b}, nil
	})
}
