package awskms

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Probe asks whether the service would make a data key under the context now,
// without making one. It returns nil, or the refusal as GenerateDataKey would
// return it; [ErrNoDryRun] where the service made one all the same.
func (r *Keyring) Probe(ctx context.Context, ec kmsctx.Context) error {
	const op = "awskms: probe GenerateDataKey"
	if err := begin(ctx, op, ec); err != nil {
		return err
	}
	in := r.generate(ctx, ec)
	in.DryRun = aws.Bool(true)
	out, err := r.api.GenerateDataKey(ctx, in)
	switch {
	case err == nil:
		clear(out.Plaintext)
		return &kmsctx.Error{Op: op, KeyID: r.key.String(), Err: ErrNoDryRun}
	case permitted(err):
		return nil
	}
	return r.failed(ctx, op, err)
}

// ProbeDecrypt asks whether the service would open one of the encrypted keys
// under the context now, without opening it. It returns nil when it would open
// at least one; otherwise the errors are those of DecryptDataKey.
func (r *Keyring) ProbeDecrypt(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) error {
	const op = "awskms: probe Decrypt"
	if err := begin(ctx, op, ec); err != nil {
		return err
	}
	var said []error
	for _, k := range keys {
		if !r.opens(k) {
			continue
		}
		in := r.decrypt(ctx, ec, k)
		in.DryRun = aws.Bool(true)
		out, err := r.api.Decrypt(ctx, in)
		switch {
		case err == nil:
			clear(out.Plaintext)
			said = append(said, ErrNoDryRun)
		case permitted(err):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			said = append(said, refusal(ctx, err))
		}
	}
	return r.noMatch(op, said)
}

// permitted turns the answer to a dry run around: the error is the success.
func permitted(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "DryRunOperationException"
}
