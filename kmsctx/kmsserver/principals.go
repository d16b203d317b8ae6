package kmsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/internal/strictjson"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// ErrConfig reports a part that is missing or not accepted.
var ErrConfig = errors.New("kmsserver: configuration not accepted")

// Principals are who may call: access keys, and whose they are.
type Principals struct{ byKey map[string]principal }

type principal struct {
	secret tenant.Secret
	who    localkms.Principal
}

// maxPrincipals is the largest principals file, in bytes.
const maxPrincipals = 1 << 20

var (
	accessKey    = regexp.MustCompile(`^[A-Za-z0-9_-]{4,128}$`)
	principalARN = regexp.MustCompile(`^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:(root|[a-z-]+/[!-)+->@-~]{1,200})$`)
)

// ParsePrincipals reads a principals file, strictly:
//
//	{"principals": [{
//	    "accessKeyId": "AKIDINDEXER", "secretAccessKey": "at least 16 characters",
//	    "arn": "arn:aws:iam::000000000000:user/indexer",
//	    "policy": {"Version": "2012-10-17", "Statement": [...]}
//	}]}
//
// policy is what the account allows the principal where a key's policy leaves it
// to the account; without it, key policies and grants alone decide. The account's
// root needs none. Conditions on keys that no call has are refused, see
// [localkms.CheckPolicy]. Errors wrap [ErrConfig] and repeat no secret.
func ParsePrincipals(b []byte) (*Principals, error) {
	if len(b) > maxPrincipals {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrConfig, maxPrincipals)
	}
	var file struct {
		Principals []struct {
			AccessKeyID     string          `json:"accessKeyId"`
			SecretAccessKey string          `json:"secretAccessKey"`
			ARN             string          `json:"arn"`
			Policy          json.RawMessage `json:"policy"`
		} `json:"principals"`
	}
	if err := strictjson.Decode(b, &file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	out := &Principals{map[string]principal{}}
	for i, p := range file.Principals {
		bad := func(what string) (*Principals, error) {
			return nil, fmt.Errorf("%w: principal %d: %s", ErrConfig, i+1, what)
		}
		if !accessKey.MatchString(p.AccessKeyID) || len(p.SecretAccessKey) < 16 || len(p.SecretAccessKey) > 256 {
			return bad("an access key ID has 4 to 128 letters and digits, its secret 16 to 256 characters")
		}
		if !principalARN.MatchString(p.ARN) {
			return bad("arn is that of a root, user or role, without wildcards")
		}
		if _, twice := out.byKey[p.AccessKeyID]; twice {
			return bad("the access key ID occurs twice")
		}
		who := localkms.Principal{ARN: p.ARN}
		if len(p.Policy) > 0 {
			var err error
			if who.Policy, err = policy.Parse(p.Policy); err == nil {
				err = localkms.CheckPolicy(who.Policy)
			}
			if err != nil {
				return bad("policy: " + err.Error())
			}
		}
		out.byKey[p.AccessKeyID] = principal{tenant.NewSecret([]byte(p.SecretAccessKey)), who}
	}
	if len(out.byKey) == 0 {
		return nil, fmt.Errorf("%w: nobody may call", ErrConfig)
	}
	return out, nil
}

// Accounts returns the accounts that the principals are of, sorted.
func (p *Principals) Accounts() []string {
	var out []string
	for _, x := range p.byKey {
		out = append(out, strings.SplitN(x.who.ARN, ":", 6)[4])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *Principals) key(id string) (sigv4.Key, bool) {
	x, ok := p.byKey[id]
	return sigv4.Key{Secret: x.secret}, ok
}
