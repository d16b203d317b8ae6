//go:build esdk

package hierarchy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	store "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygenerated"
	st "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygeneratedtypes"
	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mt "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	et "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// both are the two implementations over one table and one KMS key.
type both struct {
	official *store.Client
	client   *esdk.Client
	ring     mt.IKeyring
	admin    *hierarchy.Admin
	store    *hierarchy.Store
	env      *kmsctx.Envelope
}

// byTenant is the official keyring's supplier, with the rule of ours.
type byTenant struct{}

func (byTenant) GetBranchKeyId(in mt.GetBranchKeyIdInput) (*mt.GetBranchKeyIdOutput, error) {
	if id := in.EncryptionContext["tenant"]; id != "" {
		return &mt.GetBranchKeyIdOutput{BranchKeyId: id}, nil
	}
	return nil, errors.New("no tenant")
}

// over runs a test over moto's KMS, and over our own: DynamoDB is moto's.
func over(t *testing.T, test func(t *testing.T, b *both)) {
	url := os.Getenv("CLOISTER_PEER_MOTO")
	if url == "" {
		t.Skip("CLOISTER_PEER_MOTO names no moto server")
	}
	t.Run("moto's KMS", func(t *testing.T) { test(t, setUp(t, url, url)) })
	t.Run("our KMS", func(t *testing.T) { test(t, setUp(t, url, ourKMS(t))) })
}

const principals = `{"principals": [{"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "any-secret-of-this-test", "arn": "arn:aws:iam::000000000000:root"}]}`

type silent struct{}

func (silent) Record(context.Context, localkms.Event) error { return nil }

func ourKMS(t *testing.T) string {
	t.Helper()
	k, err := localkms.Open(t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	svc, err := localkms.NewService(k, silent{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	who, err := kmsserver.ParsePrincipals([]byte(principals))
	if err != nil {
		t.Fatal(err)
	}
	h, err := kmsserver.New(svc, who, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func setUp(t *testing.T, url, kmsURL string) *both {
	t.Helper()
	cred := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "any-secret-of-this-test"}, nil
	})
	k := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: &kmsURL, Credentials: cred})
	d := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: cred})
	key, err := k.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	at := hierarchy.Place{Table: "interop-" + strings.ToLower(rand.Text()), Name: "interop-store", Key: *key.KeyMetadata.Arn}
	b := &both{}
	b.official, err = store.NewClient(st.KeyStoreConfig{DdbTableName: at.Table, LogicalKeyStoreName: at.Name, DdbClient: d, KmsClient: k,
		KmsConfiguration: &st.KMSConfigurationMemberkmsKeyArn{Value: at.Key}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.official.CreateKeyStore(t.Context(), st.CreateKeyStoreInput{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = d.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &at.Table})
	})
	policy := mt.ESDKCommitmentPolicyRequireEncryptRequireDecrypt
	if b.client, err = esdk.NewClient(et.AwsEncryptionSdkConfig{CommitmentPolicy: &policy}); err != nil {
		t.Fatal(err)
	}
	if b.admin, err = hierarchy.NewAdmin(d, k, at); err != nil {
		t.Fatal(err)
	}
	if b.store, err = hierarchy.NewStore(d, k, at); err != nil {
		t.Fatal(err)
	}
	b.anew(t)
	return b
}

// anew gives both keyrings without anything kept.
func (b *both) anew(t *testing.T) {
	t.Helper()
	m, err := mpl.NewClient(mt.MaterialProvidersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	b.ring, err = m.CreateAwsKmsHierarchicalKeyring(t.Context(), mt.CreateAwsKmsHierarchicalKeyringInput{KeyStore: b.official, TtlSeconds: 60, BranchKeyIdSupplier: byTenant{}})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := hierarchy.New(b.store, time.Minute, hierarchy.ByPair("tenant"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	if b.env, err = kmsctx.New(ring, nil); err != nil {
		t.Fatal(err)
	}
}

func (b *both) theirsSeals(ctx context.Context, plain []byte, ec map[string]string) ([]byte, error) {
	suite := mt.ESDKAlgorithmSuiteIdAlgAes256GcmHkdfSha512CommitKey
	out, err := b.client.Encrypt(ctx, et.EncryptInput{Plaintext: plain, EncryptionContext: ec, Keyring: b.ring, AlgorithmSuiteId: &suite})
	if err != nil {
		return nil, err
	}
	return out.Ciphertext, nil
}

func (b *both) theirsOpens(ctx context.Context, message []byte, ec map[string]string) ([]byte, error) {
	out, err := b.client.Decrypt(ctx, et.DecryptInput{Ciphertext: message, EncryptionContext: ec, Keyring: b.ring})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

func pairs(t *testing.T, m map[string]string) kmsctx.Context {
	t.Helper()
	c, err := kmsctx.NewContext(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// same demands that both implementations read the same active branch key and
// the same version of it.
func same(t *testing.T, b *both, id string, v hierarchy.Version) {
	t.Helper()
	active, err := b.official.GetActiveBranchKey(t.Context(), st.GetActiveBranchKeyInput{BranchKeyIdentifier: id})
	if err != nil {
		t.Fatalf("the official one reads no active branch key: %v", err)
	}
	kept, err := b.official.GetBranchKeyVersion(t.Context(), st.GetBranchKeyVersionInput{BranchKeyIdentifier: id, BranchKeyVersion: v.String()})
	if err != nil {
		t.Fatalf("the official one reads no version: %v", err)
	}
	a, err := b.store.Active(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	k, err := b.store.Version(t.Context(), id, v)
	if err != nil {
		t.Fatal(err)
	}
	theirs := active.BranchKeyMaterials
	if a.Version != v || theirs.BranchKeyVersion != v.String() || k.Version != v {
		t.Errorf("active: %s, theirs %s, want %s", a.Version, theirs.BranchKeyVersion, v)
	}
	if !a.Key.Equal(theirs.BranchKey) || !k.Key.Equal(kept.BranchKeyMaterials.BranchKey) || !k.Key.Equal(theirs.BranchKey) {
		t.Error("the two read different keys")
	}
	if !maps.Equal(a.Bound, theirs.EncryptionContext) {
		t.Errorf("bound to %v, theirs %v", a.Bound, theirs.EncryptionContext)
	}
}

func TestTable(t *testing.T) { over(t, table) }

func table(t *testing.T, b *both) {
	// Made here, read and rotated there.
	v, err := b.admin.Create(t.Context(), "tn-ours", pairs(t, map[string]string{"tenant": "tn-ours", "plan": "b"}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, b, "tn-ours", v)
	if out, err := b.official.GetBeaconKey(t.Context(), st.GetBeaconKeyInput{BranchKeyIdentifier: "tn-ours"}); err != nil || len(out.BeaconKeyMaterials.BeaconKey) != 32 {
		t.Errorf("the official one reads no beacon key: %v", err)
	}
	if _, err := b.official.VersionKey(t.Context(), st.VersionKeyInput{BranchKeyIdentifier: "tn-ours"}); err != nil {
		t.Fatal(err)
	}
	a, err := b.store.Active(t.Context(), "tn-ours")
	if err != nil || a.Version == v {
		t.Fatalf("after their rotation: %v", err)
	}
	same(t, b, "tn-ours", a.Version)

	// Made there, read and rotated here.
	id := "tn-theirs"
	if _, err := b.official.CreateKey(t.Context(), st.CreateKeyInput{BranchKeyIdentifier: &id, EncryptionContext: map[string]string{"tenant": id}}); err != nil {
		t.Fatal(err)
	}
	if a, err = b.store.Active(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	same(t, b, id, a.Version)
	if v, err = b.admin.Rotate(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	same(t, b, id, v)

	// Each refuses to create what the other created.
	if _, err := b.admin.Create(t.Context(), id, pairs(t, map[string]string{"tenant": id})); !errors.Is(err, hierarchy.ErrExists) {
		t.Errorf("theirs again: %v", err)
	}
	id = "tn-ours"
	if _, err := b.official.CreateKey(t.Context(), st.CreateKeyInput{BranchKeyIdentifier: &id, EncryptionContext: map[string]string{"tenant": id}}); err == nil {
		t.Error("ours again was created")
	}
}

func TestMessages(t *testing.T) { over(t, messages) }

func messages(t *testing.T, b *both) {
	ctx := t.Context()
	for _, id := range []string{"tn-1", "tn-2"} {
		if _, err := b.admin.Create(ctx, id, pairs(t, map[string]string{"tenant": id})); err != nil {
			t.Fatal(err)
		}
	}
	for i, ec := range []map[string]string{
		{"tenant": "tn-1"},
		{"tenant": "tn-2", "customization": "cus-1"},
		{"a": "1", "b": "2", "tenant": "tn-1", "z": "~"},
	} {
		for _, size := range []int{0, 4096, 100_000} {
			t.Run(fmt.Sprintf("context %d, %d bytes", i, size), func(t *testing.T) {
				plain := make([]byte, size)
				_, _ = rand.Read(plain)
				theirs, err := b.theirsSeals(ctx, plain, ec)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := b.env.Open(ctx, nil, theirs, pairs(t, ec)); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("ours does not open theirs: %v", err)
				}
				ours, err := b.env.Seal(ctx, nil, plain, pairs(t, ec))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := b.theirsOpens(ctx, ours, ec); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("theirs does not open ours: %v", err)
				}
				b.refuse(t, ours, theirs, ec)
			})
		}
	}
}

// refuse demands that neither opens for another tenant, nor after one bit of the
// wrapped data key has changed.
func (b *both) refuse(t *testing.T, ours, theirs []byte, ec map[string]string) {
	t.Helper()
	other := maps.Clone(ec)
	other["tenant"] = map[string]string{"tn-1": "tn-2", "tn-2": "tn-1"}[ec["tenant"]]
	if _, err := b.env.Open(t.Context(), nil, theirs, pairs(t, other)); !errors.Is(err, kmsctx.ErrContextMismatch) {
		t.Errorf("theirs opens for another tenant: %v", err)
	}
	if _, err := b.theirsOpens(t.Context(), ours, other); err == nil {
		t.Error("ours opens there for another tenant")
	}
	for name, message := range map[string][]byte{"ours": ours, "theirs": theirs} {
		at := bytes.Index(message, []byte(hierarchy.Provider)) + len(hierarchy.Provider) + 2 + len(ec["tenant"]) + 2
		for _, i := range []int{0, 16, 28 + 15, 44, 91} { // salt, IV, version, sealed key, tag
			bad := bytes.Clone(message)
			bad[at+i] ^= 1
			if _, err := b.env.Open(t.Context(), nil, bad, pairs(t, ec)); !errors.Is(err, kmsctx.ErrNoMatchingKey) {
				t.Errorf("ours opens %s with byte %d changed: %v", name, i, err)
			}
			if _, err := b.theirsOpens(t.Context(), bad, ec); err == nil {
				t.Errorf("theirs opens %s with byte %d changed", name, i)
			}
		}
	}
}

// Contexts that no branch key is bound to: in any script and order, and none.
func TestForeignContexts(t *testing.T) { over(t, foreignContexts) }

func foreignContexts(t *testing.T, b *both) {
	out, err := b.official.CreateKey(t.Context(), st.CreateKeyInput{}) // a UUID, bound to nothing
	if err != nil {
		t.Fatal(err)
	}
	id := out.BranchKeyIdentifier
	m, err := mpl.NewClient(mt.MaterialProvidersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	b.ring, err = m.CreateAwsKmsHierarchicalKeyring(t.Context(), mt.CreateAwsKmsHierarchicalKeyringInput{KeyStore: b.official, TtlSeconds: 60, BranchKeyId: &id})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := hierarchy.New(b.store, time.Minute, func(kmsctx.Context) (string, error) { return id, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	if b.env, err = kmsctx.New(ring, nil); err != nil {
		t.Fatal(err)
	}
	plain := []byte("foreign")
	for name, ec := range map[string]map[string]string{
		"none":     {},
		"order":    {"Z": "1", "a": "2", "B": "3", "ab": "", "aB": "4"},
		"scripts":  {"mandant": "Zürich", "\u540d\u524d": "\u2713", "\U0001d7d9": "non-BMP", "\uffee": "BMP"},
		"one pair": {"tenant": "tn-1"},
	} {
		c, err := kmsctx.ForeignContext(ec)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := b.theirsSeals(t.Context(), plain, ec)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.env.Open(t.Context(), nil, theirs, c); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: ours does not open theirs: %v", name, err)
		}
		ours, err := b.env.Seal(t.Context(), nil, plain, c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.theirsOpens(t.Context(), ours, ec); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: theirs does not open ours: %v", name, err)
		}
		ec["tenant"] = "tn-2"
		if c, err = kmsctx.ForeignContext(ec); err != nil {
			t.Fatal(err)
		}
		if _, err := b.env.Open(t.Context(), nil, theirs, c); !errors.Is(err, kmsctx.ErrContextMismatch) {
			t.Errorf("%s: opens under another context: %v", name, err)
		}
	}
}

// After either rotated, both open what was sealed before, and what the other
// seals after.
func TestRotation(t *testing.T) { over(t, rotation) }

func rotation(t *testing.T, b *both) {
	ctx := t.Context()
	ec := map[string]string{"tenant": "tn-1"}
	if _, err := b.admin.Create(ctx, "tn-1", pairs(t, ec)); err != nil {
		t.Fatal(err)
	}
	var messages [][]byte
	seal := func() {
		b.anew(t)
		theirs, err := b.theirsSeals(ctx, []byte("theirs"), ec)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := b.env.Seal(ctx, nil, []byte("ours"), pairs(t, ec))
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, theirs, ours)
	}
	seal()
	if _, err := b.official.VersionKey(ctx, st.VersionKeyInput{BranchKeyIdentifier: "tn-1"}); err != nil {
		t.Fatal(err)
	}
	seal()
	if _, err := b.admin.Rotate(ctx, "tn-1"); err != nil {
		t.Fatal(err)
	}
	seal()
	b.anew(t)
	versions := map[string]bool{}
	for i, m := range messages {
		at := bytes.Index(m, []byte(hierarchy.Provider)) + len(hierarchy.Provider) + 2 + len("tn-1") + 2 + 28
		versions[string(m[at:at+16])] = true
		if _, err := b.env.Open(ctx, nil, m, pairs(t, ec)); err != nil {
			t.Errorf("message %d, ours: %v", i, err)
		}
		if _, err := b.theirsOpens(ctx, m, ec); err != nil {
			t.Errorf("message %d, theirs: %v", i, err)
		}
	}
	if len(versions) != 3 {
		t.Errorf("%d versions sealed, want 3", len(versions))
	}
}
