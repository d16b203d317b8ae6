package awssts

import (
	"errors"
	"fmt"
)

// The sentinel errors of this package. None repeats what a caller, a tenant or
// a server wrote, except where the AWS SDK's own error is in the chain.
var (
	// ErrConfig reports a missing or unusable part of a constructor.
	ErrConfig = errors.New("awssts: a part is missing")
	// ErrGrant reports the zero Grant, one that is over, or one of more than an
	// hour, which AWS does not give to a role that another role assumed.
	ErrGrant = errors.New("awssts: not a grant to issue for")
	// ErrScope reports a scope-down that is empty, malformed, not proved to lie
	// within its profile, or of a form that cannot be closed at its end.
	ErrScope = errors.New("awssts: scope-down not accepted")
	// ErrTooLarge reports a session policy above STS's limit of 2,048
	// characters, found before the call.
	ErrTooLarge = errors.New("awssts: the session policy has more than 2048 characters")
	// ErrPacked reports STS's PackedPolicyTooLarge: policy and tags together do
	// not fit its internal form. It wraps the SDK's error.
	ErrPacked = errors.New("awssts: session policy and tags do not fit together")
	// ErrRole reports a tenant without a usable role or external ID.
	ErrRole = errors.New("awssts: no usable role for this tenant")
	// ErrRefused reports that AWS said AccessDenied: the role's trust policy,
	// the external ID, or the firewall's own permissions. It wraps the SDK's error.
	ErrRefused = errors.New("awssts: refused by AWS")
	// ErrService reports a call that failed, or an answer that is not whole or
	// not about what was asked. It wraps the SDK's error, if there is one.
	ErrService = errors.New("awssts: no usable answer from AWS")
	// ErrBusy comes with [ErrService] where STS was not asked about a proof, since
	// it is being asked about four others.
	ErrBusy = fmt.Errorf("%w: too many proofs at once", ErrService)

	// ErrAmbient reports AWS credentials in the environment of the process.
	ErrAmbient = errors.New("awssts: ambient AWS credentials")

	// ErrProof reports a proof of caller that is malformed or that STS does not
	// confirm for this audience and digest.
	ErrProof = errors.New("awssts: proof of caller not accepted")
	// ErrAudience reports a proof made for another verifier or another request.
	ErrAudience = errors.New("awssts: proof made for something else")
	// ErrRegion reports a region that is not on the verifier's list.
	ErrRegion = errors.New("awssts: region not accepted")
	// ErrSkew reports a proof made too long ago, or in the future.
	ErrSkew = errors.New("awssts: proof made at the wrong time")
	// ErrReplayed reports a proof that was used before, perhaps before a restart,
	// or that cannot be remembered.
	ErrReplayed = errors.New("awssts: proof was used before")

	// ErrSealed reports a sealed session that does not open: another request,
	// another key, an altered byte. The cases cannot be told apart, by design.
	ErrSealed = errors.New("awssts: sealed session does not open")
	// ErrExpired reports a sealed session past its end.
	ErrExpired = errors.New("awssts: sealed session expired")
)
