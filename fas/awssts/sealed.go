package awssts

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// A sealed session is a version, the ID of the key it is sealed to, and HPKE's
// encapsulated key and ciphertext (RFC 9180, base mode).
const (
	sealedVersion = 1
	keyIDSize     = 8
	sealedHead    = 1 + keyIDSize
	maxSealed     = 8 << 10
	sealedInfo    = "cloister/fas/sealed-session/v1\n"
)

func kem() hpke.KEM   { return hpke.DHKEM(ecdh.X25519()) }
func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.AES256GCM() }

// CallerKeys are temporary credentials that a caller made for a firewall.
type CallerKeys struct {
	AccessKeyID string
	Secret      tenant.Secret
	Token       string
	Expires     time.Time // to the second
}

// SealingKey is a firewall's public key, which its clients are given. The zero
// value seals nothing.
type SealingKey struct{ pub hpke.PublicKey }

// ParseSealingKey reads what [SealingKey.Bytes] wrote. Errors wrap [ErrConfig].
func ParseSealingKey(b []byte) (SealingKey, error) {
	pub, err := kem().NewPublicKey(b)
	if err != nil {
		return SealingKey{}, fmt.Errorf("%w: sealing key: %w", ErrConfig, err)
	}
	return SealingKey{pub}, nil
}

// Bytes returns the key's 32 bytes, and nil for the zero value.
func (k SealingKey) Bytes() []byte {
	if k.pub == nil {
		return nil
	}
	return k.pub.Bytes()
}

func (k SealingKey) id() []byte {
	sum := sha256.Sum256(k.pub.Bytes())
	return sum[:keyIDSize]
}

type sealedKeys struct {
	ID      string `json:"id"`
	Secret  []byte `json:"secret"`
	Token   string `json:"token"`
	Expires int64  `json:"expires"`
}

// plaintext is the keys as JSON, in one piece of memory that the caller wipes:
// encoding/json keeps what it wrote in, and the secret has no business there.
func (k sealedKeys) plaintext() []byte {
	id, _ := json.Marshal(k.ID) // a string has a form, whatever is in it
	token, _ := json.Marshal(k.Token)
	const frame = len(`{"id":,"secret":"","token":,"expires":-9223372036854775808}`)
	b := make([]byte, 0, frame+len(id)+base64.StdEncoding.EncodedLen(len(k.Secret))+len(token))
	b = append(append(b, `{"id":`...), id...)
	b = base64.StdEncoding.AppendEncode(append(b, `,"secret":"`...), k.Secret)
	b = append(append(b, `","token":`...), token...)
	b = strconv.AppendInt(append(b, `,"expires":`...), k.Expires, 10)
	return append(b, '}')
}

// Seal encrypts the keys to the firewall, for the one request of the digest.
// Who sees the result on its way, a front end included, has nothing. Long-term
// keys, which come without a token, are refused, as are keys that are over.
// Errors wrap [ErrConfig] or [ErrExpired].
func Seal(to SealingKey, digest [32]byte, k CallerKeys) ([]byte, error) {
	if to.pub == nil || k.AccessKeyID == "" || k.Token == "" {
		return nil, ErrConfig
	}
	if !time.Now().Before(k.Expires) {
		return nil, ErrExpired
	}
	var plain []byte
	err := k.Secret.Use(func(secret []byte) error {
		if len(secret) == 0 {
			return ErrConfig
		}
		plain = sealedKeys{k.AccessKeyID, secret, k.Token, k.Expires.Unix()}.plaintext()
		return nil
	})
	defer clear(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	head := append([]byte{sealedVersion}, to.id()...)
	box, err := hpke.Seal(to.pub, kdf(), aead(), info(head, digest), plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if len(head)+len(box) > maxSealed {
		return nil, fmt.Errorf("%w: too large a token", ErrConfig)
	}
	return append(head, box...), nil
}

// info binds the box to its head and to the request.
func info(head []byte, digest [32]byte) []byte {
	return slices.Concat([]byte(sealedInfo), head, digest[:])
}

// NewSealingSecret makes the private key of an [Opener], 32 bytes.
func NewSealingSecret() (tenant.Secret, error) {
	k, err := kem().GenerateKey()
	if err != nil {
		return tenant.Secret{}, err
	}
	b, err := k.Bytes()
	if err != nil {
		return tenant.Secret{}, err
	}
	return tenant.NewSecret(b), nil
}

// Opener opens sealed sessions, inside the firewall. It is safe for concurrent
// use.
type Opener struct {
	current SealingKey
	keys    map[[keyIDSize]byte]tenant.Secret
}

// NewOpener takes the current private key and those that clients may still
// seal to: rotation is a new first key, and dropping the last when no client
// has its public half. The opener owns the secrets. Errors wrap [ErrConfig].
func NewOpener(current tenant.Secret, older ...tenant.Secret) (*Opener, error) {
	o := &Opener{keys: map[[keyIDSize]byte]tenant.Secret{}}
	for i, secret := range append([]tenant.Secret{current}, older...) {
		err := secret.Use(func(b []byte) error {
			k, err := kem().NewPrivateKey(b)
			if err != nil {
				return err
			}
			public := SealingKey{k.PublicKey()}
			id := [keyIDSize]byte(public.id())
			if _, twice := o.keys[id]; twice {
				return fmt.Errorf("key %d is there twice", i)
			}
			if i == 0 {
				o.current = public
			}
			o.keys[id] = secret
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%w: sealing secret: %w", ErrConfig, err)
		}
	}
	return o, nil
}

// Key returns the current public key.
func (o *Opener) Key() SealingKey { return o.current }

// Open returns the keys that were sealed for the request of this digest. The
// caller owns them and destroys the secret. Errors wrap [ErrSealed] or
// [ErrExpired].
func (o *Opener) Open(sealed []byte, digest [32]byte) (CallerKeys, error) {
	if len(sealed) <= sealedHead || len(sealed) > maxSealed || sealed[0] != sealedVersion {
		return CallerKeys{}, ErrSealed
	}
	head, box := sealed[:sealedHead:sealedHead], sealed[sealedHead:]
	secret, ok := o.keys[[keyIDSize]byte(head[1:])]
	if !ok {
		return CallerKeys{}, ErrSealed
	}
	var plain []byte
	err := secret.Use(func(b []byte) error {
		k, err := kem().NewPrivateKey(b)
		if err != nil {
			return err
		}
		plain, err = hpke.Open(k, kdf(), aead(), info(head, digest), box)
		return err
	})
	defer clear(plain)
	if err != nil {
		return CallerKeys{}, ErrSealed // nothing in it for who tries keys
	}
	return readKeys(plain)
}

// readKeys reads what Seal wrote, in that one form.
func readKeys(plain []byte) (CallerKeys, error) {
	var k sealedKeys
	err := json.Unmarshal(plain, &k)
	defer clear(k.Secret)
	if err != nil || k.ID == "" || k.Token == "" || len(k.Secret) == 0 {
		return CallerKeys{}, ErrSealed
	}
	again := k.plaintext()
	defer clear(again)
	if !bytes.Equal(again, plain) {
		return CallerKeys{}, ErrSealed
	}
	out := CallerKeys{AccessKeyID: k.ID, Secret: tenant.NewSecret(bytes.Clone(k.Secret)), Token: k.Token, Expires: time.Unix(k.Expires, 0)}
	if !time.Now().Before(out.Expires) {
		out.Secret.Destroy()
		return CallerKeys{}, ErrExpired
	}
	return out, nil
}

// Close wipes the private keys; afterwards nothing opens. It is harmless twice.
func (o *Opener) Close() error {
	for _, s := range o.keys {
		s.Destroy()
	}
	return nil
}
