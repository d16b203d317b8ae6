package sigv4

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"

	"github.com/cloisterdev/cloister/tenant"
)

// orderMinus2 is n-2 for the order n of P-256.
var orderMinus2 = []byte{
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
}

// PublicKey returns the SigV4A public key of a secret, for those who shall
// verify and not sign. It returns [tenant.ErrDestroyed] for a secret that is
// none.
func PublicKey(accessKeyID string, secret tenant.Secret) (*ecdsa.PublicKey, error) {
	s := borrow()
	defer s.release()
	k, err := deriveECDSA(s, secret, accessKeyID)
	if err != nil {
		return nil, err
	}
	return &k.PublicKey, nil
}

// deriveECDSA makes the signing key of SigV4A: NIST SP 800-108 in counter
// mode over HMAC-SHA256, one block, tried with a counter in its context until
// the number is in range, and one added.
func deriveECDSA(s *scratch, secret tenant.Secret, accessKeyID string) (key *ecdsa.PrivateKey, err error) {
	err = secret.Use(func(b []byte) error {
		s.query = append(s.query[:0], "AWS4A"...)
		s.key(s.query, b)
		for counter := byte(1); counter < 255; counter++ {
			s.query = append(s.query[:0], 0, 0, 0, 1)
			s.query = append(append(s.query, asymmetric...), 0)
			s.query = append(append(s.query, accessKeyID...), counter)
			s.query = append(s.query, 0, 0, 1, 0)
			s.sign(s.query)
			if bytes.Compare(s.sum[:], orderMinus2) > 0 {
				continue
			}
			for i := len(s.sum) - 1; i >= 0; i-- {
				if s.sum[i]++; s.sum[i] != 0 {
					break
				}
			}
			key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), s.sum[:])
			return err
		}
		return errors.New("sigv4: no key in range")
	})
	return key, err
}
