package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/awskms"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

type unrecorded struct{}

func (unrecorded) Record(context.Context, localkms.Event) error { return nil }

const user = "arn:aws:iam::000000000000:user/user"

// service is a KMS of our own, where grants decide. It returns clients of the
// account's root and of a user whom nothing but grants allows anything.
func service(t *testing.T, propagation time.Duration) (root, granted *kms.Client) {
	t.Helper()
	store, err := localkms.Open(t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	must(t, err)
	s, err := localkms.NewService(store, unrecorded{}, &localkms.Options{Propagation: propagation})
	must(t, err)
	who, err := kmsserver.ParsePrincipals([]byte(`{"principals": [
		{"accessKeyId": "AKIDROOT", "secretAccessKey": "secret-0123456789", "arn": "arn:aws:iam::000000000000:root"},
		{"accessKeyId": "AKIDUSER", "secretAccessKey": "secret-0123456789", "arn": "` + user + `"}]}`))
	must(t, err)
	h, err := kmsserver.New(s, who, nil)
	must(t, err)
	l, err := kmsserver.Listen("127.0.0.1:0", nil)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- kmsserver.Serve(ctx, l, h) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	url := "http://" + l.Addr().String()
	return client(url, "AKIDROOT", "secret-0123456789"), client(url, "AKIDUSER", "secret-0123456789")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	root, _ := service(t, 0)
	mine, theirs := ring(t, root, createKey(t, root)), ring(t, root, createKey(t, root))
	kmstest.Run(t, func(*testing.T) kmstest.Rings { return kmstest.Rings{Ring: mine, Other: theirs} })
}

func grant(t *testing.T, root *kms.Client, key string, c kmsctx.Context) awskms.Grant {
	t.Helper()
	out, err := root.CreateGrant(t.Context(), &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: aws.String(user),
		Operations:  []types.GrantOperation{types.GrantOperationGenerateDataKey, types.GrantOperationDecrypt, types.GrantOperationEncrypt},
		Constraints: &types.GrantConstraints{EncryptionContextEquals: c.Pairs()}})
	must(t, err)
	return awskms.Grant{ID: *out.GrantId, Token: *out.GrantToken}
}

// A caller with grants only passes the suite too, for the context of its grant.
func TestConformanceByGrant(t *testing.T) {
	t.Parallel()
	root, granted := service(t, 0)
	a, b := ec(t, "tenant", "a"), ec(t, "tenant", "b")
	mine, theirs := createKey(t, root), createKey(t, root)
	grant(t, root, mine, a)
	grant(t, root, theirs, b)
	kmstest.Run(t, func(*testing.T) kmstest.Rings {
		return kmstest.Rings{Ring: ring(t, granted, mine), Other: ring(t, granted, theirs), Context: a, OtherContext: b}
	})
}

func TestGrants(t *testing.T) {
	t.Parallel()
	root, granted := service(t, time.Hour)
	key, c, other := createKey(t, root), ec(t, "tenant", "a"), ec(t, "tenant", "b")
	g := grant(t, root, key, c)
	r, ctx := ring(t, granted, key), t.Context()
	with, tokenless := awskms.WithGrant(ctx, g), awskms.WithGrant(ctx, awskms.Grant{ID: g.ID})

	if _, err := r.GenerateDataKey(ctx, c); !errors.Is(err, kmsctx.ErrNotAuthorized) || errors.Is(err, kmsctx.ErrGrantPending) {
		t.Errorf("no grant named: %v", err)
	}
	if _, err := r.GenerateDataKey(tokenless, c); !errors.Is(err, kmsctx.ErrNotAuthorized) || !errors.Is(err, kmsctx.ErrGrantPending) {
		t.Errorf("a grant without its token: %v", err)
	}
	dk, err := r.GenerateDataKey(with, c)
	must(t, err)
	if got, err := r.DecryptDataKey(with, c, dk.Encrypted); err != nil || !bytes.Equal(got.Plaintext, dk.Plaintext) {
		t.Fatalf("the control: %v", err)
	}
	if _, err := r.GenerateDataKey(with, other); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("another tenant's context: %v", err)
	}
	if _, err := r.DecryptDataKey(with, other, dk.Encrypted); !errors.Is(err, kmsctx.ErrNoMatchingKey) || !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("another tenant's context: %v", err)
	}
	if _, err := r.GenerateDataKey(awskms.WithGrant(ctx, awskms.Grant{Token: "false"}), c); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("a false token: %v", err)
	}

	// Probes say the same and make nothing.
	must(t, r.Probe(with, c))
	must(t, r.ProbeDecrypt(with, c, dk.Encrypted))
	if err := r.Probe(with, other); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("probe: %v", err)
	}
	if err := r.ProbeDecrypt(with, other, dk.Encrypted); !errors.Is(err, kmsctx.ErrNoMatchingKey) || !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("probe: %v", err)
	}

	_, err = root.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
	must(t, err)
	if _, err := r.DecryptDataKey(with, c, dk.Encrypted); !errors.Is(err, kmsctx.ErrKeyDisabled) || !errors.Is(err, kmsctx.ErrNoMatchingKey) {
		t.Errorf("disabled: %v", err)
	}
	_, err = root.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key})
	must(t, err)
	_, err = root.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &key, GrantId: &g.ID})
	must(t, err)
	if err := r.Probe(with, c); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("revoked, probe: %v", err)
	}
	if _, err := r.DecryptDataKey(with, c, dk.Encrypted); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("revoked: %v", err)
	}
	_, err = root.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key})
	must(t, err)
	if _, err := ring(t, root, key).GenerateDataKey(ctx, c); !errors.Is(err, kmsctx.ErrKeyPendingDeletion) {
		t.Errorf("pending deletion: %v", err)
	}
	none := "arn:aws:kms:us-east-1:000000000000:key/11111111-1111-1111-1111-111111111111"
	if _, err := ring(t, root, none).GenerateDataKey(ctx, c); !errors.Is(err, kmsctx.ErrKeyNotFound) {
		t.Errorf("no such key: %v", err)
	}
	if _, err := ring(t, client("http://127.0.0.1:1", "x", "y"), none).GenerateDataKey(ctx, c); !errors.Is(err, kmsctx.ErrUnavailable) {
		t.Errorf("nobody answers: %v", err)
	}
}

// liar answers with something else than was asked for. No server does.
type liar struct {
	*kms.Client
	key   string
	plain []byte
}

func (l liar) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, o ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	in.DryRun = nil
	out, err := l.Client.GenerateDataKey(ctx, in, o...)
	if out != nil && l.key != "" {
		out.KeyId = &l.key
	}
	if out != nil && l.plain != nil {
		out.Plaintext = l.plain
	}
	return out, err
}

func (l liar) Decrypt(ctx context.Context, in *kms.DecryptInput, o ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	out, err := l.Client.Decrypt(ctx, in, o...)
	if out != nil && l.key != "" {
		out.KeyId = &l.key
	}
	if out != nil && l.plain != nil {
		out.Plaintext = l.plain
	}
	return out, err
}

func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	root, _ := service(t, 0)
	key, other, c := createKey(t, root), createKey(t, root), ec(t, "tenant", "a")
	dk, err := ring(t, root, key).GenerateDataKey(t.Context(), c)
	must(t, err)
	for name, l := range map[string]liar{"another key": {root, other, nil}, "no key": {root, "x", nil}, "a short key": {root, "", []byte{1}}, "no bytes": {root, "", []byte{}}} {
		r := ring(t, l, key)
		if got, err := r.GenerateDataKey(t.Context(), c); !errors.Is(err, awskms.ErrAnswer) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := r.DecryptDataKey(t.Context(), c, dk.Encrypted); !errors.Is(err, awskms.ErrAnswer) || !errors.Is(err, kmsctx.ErrNoMatchingKey) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ring(t, liar{Client: root}, key).Probe(t.Context(), c); !errors.Is(err, awskms.ErrNoDryRun) {
		t.Errorf("a service without dry runs: %v", err)
	}
	if _, err := ring(t, liar{Client: root}, key).GenerateDataKey(t.Context(), c); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// asked counts what reaches the service.
type asked struct {
	awskms.API
	n int
}

func (a *asked) Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	a.n++
	return nil, errors.New("asked")
}

// A message cannot make the keyring ask about another key.
func TestRecordsAreFiltered(t *testing.T) {
	t.Parallel()
	mrk := "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234"
	for name, c := range map[string]struct {
		key, info, provider string
		multi               bool
		asks                int
	}{
		"the control":              {good, good, "aws-kms", false, 1},
		"another provider":         {good, good, "aws-kms-hierarchy", false, 0},
		"another region":           {good, "arn:aws:kms:us-east-1" + good[len("arn:aws:kms:eu-central-1"):], "aws-kms", true, 0},
		"an alias":                 {good, "alias/x", "aws-kms", true, 0},
		"a replica":                {mrk, "arn:aws:kms:us-east-1:111122223333:key/mrk-1234", "aws-kms", true, 1},
		"a replica, off":           {mrk, "arn:aws:kms:us-east-1:111122223333:key/mrk-1234", "aws-kms", false, 0},
		"another account's":        {mrk, "arn:aws:kms:us-east-1:999922223333:key/mrk-1234", "aws-kms", true, 0},
		"another partition's":      {mrk, "arn:aws-cn:kms:us-east-1:111122223333:key/mrk-1234", "aws-kms", true, 0},
		"another multi-Region key": {mrk, "arn:aws:kms:us-east-1:111122223333:key/mrk-5678", "aws-kms", true, 0},
	} {
		api := &asked{}
		r, err := awskms.New(api, c.key, &awskms.Options{MultiRegion: c.multi})
		must(t, err)
		_, err = r.DecryptDataKey(t.Context(), ec(t, "tenant", "a"), []kmsctx.EncryptedDataKey{{Provider: c.provider, Info: []byte(c.info), Ciphertext: []byte("x")}})
		if !errors.Is(err, kmsctx.ErrNoMatchingKey) || api.n != c.asks {
			t.Errorf("%s: %d calls, %v", name, api.n, err)
		}
	}
}

func ExampleWithGrant() {
	// What the identity firewall hands over with a session.
	grant := awskms.Grant{ID: "grant-id", Token: "grant-token"}
	ctx := awskms.WithGrant(context.Background(), grant)
	_, err := awskms.New(nil, "", nil) // no client, no key
	fmt.Println(errors.Is(err, kmsctx.ErrMalformed), ctx.Err())
	// Output: true <nil>
}
