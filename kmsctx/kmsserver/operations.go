package kmsserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/cloisterdev/cloister/internal/strictjson"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// operation is one that the server has.
type operation struct {
	// run decodes a body, makes the call and encodes what it returned.
	run func(ctx context.Context, s *localkms.Service, who localkms.Principal, body []byte) ([]byte, error)
	// once says that it changes a key: the same request, sent again, could undo
	// what was done since.
	once bool
}

var errSerialization = errors.New("not the members of this operation")

func once[I, O any](f func(*localkms.Service, context.Context, localkms.Principal, *I) (*O, error)) operation {
	return operation{call(f).run, true}
}

func call[I, O any](f func(*localkms.Service, context.Context, localkms.Principal, *I) (*O, error)) operation {
	run := func(ctx context.Context, s *localkms.Service, who localkms.Principal, body []byte) ([]byte, error) {
		in := new(I)
		if err := strictjson.Decode(body, in); errors.As(err, new(strictjson.UnknownMember)) {
			return nil, err
		} else if err != nil {
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
	return operation{run: run}
}

var operations = map[string]operation{
	"CancelKeyDeletion":               once((*localkms.Service).CancelKeyDeletion),
	"CreateAlias":                     once((*localkms.Service).CreateAlias),
	"CreateGrant":                     once((*localkms.Service).CreateGrant),
	"CreateKey":                       call((*localkms.Service).CreateKey),
	"Decrypt":                         call((*localkms.Service).Decrypt),
	"DeleteAlias":                     once((*localkms.Service).DeleteAlias),
	"DescribeKey":                     call((*localkms.Service).DescribeKey),
	"DisableKey":                      once((*localkms.Service).DisableKey),
	"DisableKeyRotation":              once((*localkms.Service).DisableKeyRotation),
	"EnableKey":                       once((*localkms.Service).EnableKey),
	"EnableKeyRotation":               once((*localkms.Service).EnableKeyRotation),
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
	"PutKeyPolicy":                    once((*localkms.Service).PutKeyPolicy),
	"ReEncrypt":                       call((*localkms.Service).ReEncrypt),
	"RetireGrant":                     once((*localkms.Service).RetireGrant),
	"RevokeGrant":                     once((*localkms.Service).RevokeGrant),
	"RotateKeyOnDemand":               once((*localkms.Service).RotateKeyOnDemand),
	"ScheduleKeyDeletion":             once((*localkms.Service).ScheduleKeyDeletion),
	"TagResource":                     once((*localkms.Service).TagResource),
	"UntagResource":                   once((*localkms.Service).UntagResource),
	"UpdateAlias":                     once((*localkms.Service).UpdateAlias),
}
