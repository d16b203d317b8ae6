package localkms

import (
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
