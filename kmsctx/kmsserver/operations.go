package kmsserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// operation decodes a body, makes the call and encodes what it returned.
type operation func(ctx context.Context, s *localkms.Service, who localkms.Principal, body []byte) ([]byte, error)

var errSerialization = errors.New("not the members of this operation")

func call[I, O any](f func(*localkms.Service, context.Context, localkms.Principal, *I) (*O, error)) operation {
	return func(ctx context.Context, s *localkms.Service, who localkms.Principal, body []byte) ([]byte, error) {
		in := new(I)
		if err := strict(body); err != nil {
			return nil, errSerialization
		}
		if err := exact(reflect.TypeFor[I](), body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, in); err != nil {
			return nil, errSerialization
		}
		out, err := f(s, ctx, who, in)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(out); err != nil {
			return nil, err
		}
		return bytes.TrimSpace(b.Bytes()), nil
	}
}

var operations = map[string]operation{
	"CancelKeyDeletion":               call((*localkms.Service).CancelKeyDeletion),
	"CreateAlias":                     call((*localkms.Service).CreateAlias),
	"CreateGrant":                     call((*localkms.Service).CreateGrant),
	"CreateKey":                       call((*localkms.Service).CreateKey),
	"Decrypt":                         call((*localkms.Service).Decrypt),
	"DeleteAlias":                     call((*localkms.Service).DeleteAlias),
	"DescribeKey":                     call((*localkms.Service).DescribeKey),
	"DisableKey":                      call((*localkms.Service).DisableKey),
	"DisableKeyRotation":              call((*localkms.Service).DisableKeyRotation),
	"EnableKey":                       call((*localkms.Service).EnableKey),
	"EnableKeyRotation":               call((*localkms.Service).EnableKeyRotation),
	"Encrypt":                         call((*localkms.Service).Encrypt),
	"GenerateDataKey":                 call((*localkms.Service).GenerateDataKey),
	"GenerateDataKeyWithoutPlaintext": call((*localkms.Service).GenerateDataKeyWithoutPlaintext),
	"GenerateRandom":                  call((*localkms.Service).GenerateRandom),
	"GetKeyPolicy":                    call((*localkms.Service).GetKeyPolicy),
	"GetKeyRotationStatus":            call((*localkms.Service).GetKeyRotationStatus),
	"ListAliases":                     call((*localkms.Service).ListAliases),
	"ListGrants":                      call((*localkms.Service).ListGrants),
	"ListKeyRotations":                call((*localkms.Service).ListKeyRotations),
	"ListKeys":                        call((*localkms.Service).ListKeys),
	"ListResourceTags":                call((*localkms.Service).ListResourceTags),
	"ListRetirableGrants":             call((*localkms.Service).ListRetirableGrants),
	"PutKeyPolicy":                    call((*localkms.Service).PutKeyPolicy),
	"ReEncrypt":                       call((*localkms.Service).ReEncrypt),
	"RetireGrant":                     call((*localkms.Service).RetireGrant),
	"RevokeGrant":                     call((*localkms.Service).RevokeGrant),
	"RotateKeyOnDemand":               call((*localkms.Service).RotateKeyOnDemand),
	"ScheduleKeyDeletion":             call((*localkms.Service).ScheduleKeyDeletion),
	"TagResource":                     call((*localkms.Service).TagResource),
	"UntagResource":                   call((*localkms.Service).UntagResource),
	"UpdateAlias":                     call((*localkms.Service).UpdateAlias),
}
