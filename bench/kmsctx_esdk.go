//go:build esdk

package main

import (
	"context"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mt "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	et "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
)

// official is AWS's own Go implementation.
type official struct {
	party
	ctx    context.Context
	client *esdk.Client
	ring   mt.IKeyring
}

func officialParty(ctx context.Context) (*official, error) {
	policy := mt.ESDKCommitmentPolicyRequireEncryptRequireDecrypt
	client, err := esdk.NewClient(et.AwsEncryptionSdkConfig{CommitmentPolicy: &policy})
	if err != nil {
		return nil, err
	}
	m, err := mpl.NewClient(mt.MaterialProvidersConfig{})
	if err != nil {
		return nil, err
	}
	ring, err := m.CreateRawAesKeyring(ctx, mt.CreateRawAesKeyringInput{KeyNamespace: "bench", KeyName: "key",
		WrappingKey: random(32), WrappingAlg: mt.AesWrappingAlgAlgAes256GcmIv12Tag16})
	if err != nil {
		return nil, err
	}
	o := &official{ctx: ctx, client: client, ring: ring}
	o.party = o.withFrames(64 << 10)
	return o, nil
}

func (o *official) withFrames(frame int64) party {
	ec := map[string]string{"tenant": "tn-0123456789", "purpose": "bench"}
	suite := mt.ESDKAlgorithmSuiteIdAlgAes256GcmHkdfSha512CommitKey
	return party{
		name: "esdk-go",
		seal: func(_, in []byte) ([]byte, error) {
			out, err := o.client.Encrypt(o.ctx, et.EncryptInput{Plaintext: in, EncryptionContext: ec, Keyring: o.ring,
				AlgorithmSuiteId: &suite, FrameLength: &frame})
			if err != nil {
				return nil, err
			}
			return out.Ciphertext, nil
		},
		open: func(_, in []byte) ([]byte, error) {
			out, err := o.client.Decrypt(o.ctx, et.DecryptInput{Ciphertext: in, EncryptionContext: ec, Keyring: o.ring})
			if err != nil {
				return nil, err
			}
			return out.Plaintext, nil
		},
	}
}
