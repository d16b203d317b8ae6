package localkms

import (
	"iter"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
)

// Peer is where a call came from, for policies that ask.
type Peer struct {
	// Addr is the address of the other end: of a proxy, if there is one. One
	// that is not valid is of no network: a policy that denies by address then
	// denies, and one that allows by address does not allow.
	Addr netip.Addr
	// Secure says that the call came over TLS.
	Secure bool
}

// conditionKeys are the condition keys that conditions may name; the package
// documentation says which calls have them.
var conditionKeys = map[string]bool{
	// Every call.
	"aws:principalarn": true, "aws:principalaccount": true, "aws:principaltype": true, "aws:username": true,
	"aws:currenttime": true, "aws:epochtime": true, "aws:requestedregion": true, "aws:resourceaccount": true,
	"aws:principalisawsservice": true, "aws:viaawsservice": true, "kms:calleraccount": true,
	"aws:securetransport": true, "aws:sourceip": true,
	// Calls about a key.
	"kms:keyspec": true, "kms:keyusage": true, "kms:keyorigin": true, "kms:multiregion": true,
	"kms:requestalias": true, "kms:resourcealiases": true,
	// Some operations.
	"kms:encryptionalgorithm": true, "kms:encryptioncontextkeys": true, "kms:reencryptonsamekey": true,
	"kms:granteeprincipal": true, "kms:retiringprincipal": true, "kms:grantconstrainttype": true,
	"kms:grantoperations": true, "kms:grantisforawsresource": true, "kms:rotationperiodindays": true,
	"kms:scheduledeletionpendingwindowindays": true, "kms:schedulekeydeletionpendingwindowindays": true,
	"kms:bypasspolicylockoutsafetycheck": true, "aws:tagkeys": true,
	// No call has these, here as on AWS: they are for what a service asks.
	"kms:viaservice": true, "aws:calledvia": true, "aws:calledviafirst": true, "aws:calledvialast": true,
	"aws:sourcearn": true, "aws:sourceaccount": true,
}

// conditionPrefixes begin condition keys that end in a name of the caller's or
// the key's.
var conditionPrefixes = []string{"kms:encryptioncontext:", "aws:requesttag/", "aws:resourcetag/"}

func supported(conditionKey string) bool {
	if conditionKeys[conditionKey] {
		return true
	}
	for _, p := range conditionPrefixes {
		if len(conditionKey) > len(p) && strings.HasPrefix(conditionKey, p) {
			return true
		}
	}
	return false
}

// CheckPolicy refuses with [ErrPolicy], and by name, a condition key or variable
// that calls to a [Service] never have: a Deny by it would never deny. Key
// policies are checked when they are put, and a principal's at every call; this
// is for who wants to know before. It accepts a nil document.
func CheckPolicy(d *policy.Document) error {
	for k := range d.Keys() {
		if !supported(k) {
			return fmtErr(ErrPolicy, "condition key %.80q is not supported", k)
		}
	}
	return nil
}

// common are the condition keys of every call.
func (c *call) common(more map[string]string) map[string]string {
	who, account := c.who.ARN, accountOf(c.who.ARN)
	if role := roleOf(who); role != "" {
		who = role
	}
	ctx := map[string]string{"aws:principalarn": who, "aws:principalaccount": account, "kms:calleraccount": account,
		"aws:currenttime": c.now.UTC().Format(time.RFC3339), "aws:epochtime": strconv.FormatInt(c.now.Unix(), 10),
		"aws:requestedregion": c.s.o.Region, "aws:resourceaccount": c.s.o.Account,
		"aws:principalisawsservice": "false", "aws:viaawsservice": "false"}
	kind, name := principalType(c.who.ARN)
	if kind != "" {
		ctx["aws:principaltype"] = kind
	}
	if name != "" {
		ctx["aws:username"] = name
	}
	if p := c.who.Peer; p != nil {
		ctx["aws:securetransport"] = strconv.FormatBool(p.Secure)
		ctx["aws:sourceip"] = p.Addr.Unmap().WithZone("").String()
	}
	for k, v := range more {
		ctx[k] = v
	}
	return ctx
}

// request is a call about a key, as policies decide it. An encryption context or
// a key's tags in which a policy would see two keys as one are refused.
func (c *call) request(id string, k *key, a access) (policy.Request, error) {
	if !distinct(a.pairs) {
		return policy.Request{}, invalid("encryption context: two keys that differ in case only")
	}
	if !distinct(k.Tags) {
		return policy.Request{}, ErrNotAuthorized
	}
	ctx, multi := c.common(a.more), map[string][]string{}
	ctx["kms:keyspec"], ctx["kms:keyusage"], ctx["kms:keyorigin"], ctx["kms:multiregion"] = "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", "false"
	if c.via != "" {
		ctx["kms:requestalias"] = c.via
	}
	maps.Copy(multi, a.multi)
	for n, v := range a.pairs {
		ctx["kms:encryptioncontext:"+strings.ToLower(n)] = v
		multi["kms:encryptioncontextkeys"] = append(multi["kms:encryptioncontextkeys"], n)
	}
	for n, v := range k.Tags {
		ctx["aws:resourcetag/"+strings.ToLower(n)] = v
	}
	for name, al := range c.st.Aliases {
		if al.Key == id {
			multi["kms:resourcealiases"] = append(multi["kms:resourcealiases"], name)
		}
	}
	r := policy.Request{Action: "kms:" + a.op, Resource: c.s.arn("key/" + id), Context: ctx, Multi: multi}
	return asked(r, func(yield func(string) bool) {
		for n := range c.who.Policy.Keys() {
			if !yield(n) {
				return
			}
		}
		k.policy.keys(yield)
	}), nil
}

// asked leaves in a request, whose maps are the call's own, what policies ask for. All that a key may have and a
// caller may send is more than a request can hold, and whoever sends it, or tags
// a key with it, must not keep others from a decision.
func asked(r policy.Request, keys iter.Seq[string]) policy.Request {
	named := map[string]bool{}
	for n := range keys {
		named[n] = true
	}
	maps.DeleteFunc(r.Context, func(n, _ string) bool { return !named[n] })
	maps.DeleteFunc(r.Multi, func(n string, _ []string) bool { return !named[n] })
	return r
}

// distinct reports whether policies can tell the keys of pairs apart: they
// compare them without case, in all letters.
func distinct(pairs map[string]string) bool {
	seen := make(map[string]bool, len(pairs))
	for n := range pairs {
		seen[strings.ToLower(n)] = true
	}
	return len(seen) == len(pairs)
}

// principalType is aws:PrincipalType, and for a user aws:username. A role's own
// ARN stands for its sessions.
func principalType(arn string) (kind, username string) {
	f := strings.SplitN(arn, ":", 6)
	first, rest, _ := strings.Cut(f[len(f)-1], "/")
	switch first {
	case "root":
		return "Account", ""
	case "user":
		return "User", rest[strings.LastIndexByte(rest, '/')+1:]
	case "role", "assumed-role":
		return "AssumedRole", ""
	case "federated-user":
		return "FederatedUser", ""
	}
	return "", ""
}
