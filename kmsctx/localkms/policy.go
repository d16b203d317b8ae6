package localkms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/fas/policy"
)

// maxPolicy is the longest key policy, in bytes, as in AWS KMS. One statement
// is bounded by [policy.MaxSize].
const maxPolicy = 32 << 10

// keyPolicy is a parsed key policy: statements of the IAM language, each with
// the principals that stood in it.
type keyPolicy struct{ statements []keyStatement }

type keyStatement struct {
	anyone     bool
	principals []string
	document   *policy.Document
	undecided  error // a condition that calls have nothing for
}

func fmtErr(err error, format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{err}, args...)...)
}

// parsePolicy takes the principals out of each statement and leaves the rest to
// [policy.Parse], which is strict.
func parsePolicy(b []byte) (*keyPolicy, error) {
	if len(b) > maxPolicy {
		return nil, fmtErr(ErrPolicy, "more than %d bytes", maxPolicy)
	}
	top, err := object(b)
	if err != nil {
		return nil, err
	}
	var version string
	var statements []json.RawMessage
	for name, raw := range top {
		switch name {
		case "Version":
			err = json.Unmarshal(raw, &version)
		case "Id":
			var id string
			err = json.Unmarshal(raw, &id)
		case "Statement":
			err = json.Unmarshal(raw, &statements)
		default:
			err = fmt.Errorf("unknown element %.40q", name)
		}
		if err != nil {
			return nil, fmtErr(ErrPolicy, "%v", err)
		}
	}
	if len(statements) == 0 {
		return nil, fmtErr(ErrPolicy, "no statements, or not a list of them")
	}
	var out keyPolicy
	for _, raw := range statements {
		s, err := parseStatement(version, raw)
		if err != nil {
			return nil, err
		}
		out.statements = append(out.statements, s)
	}
	return &out, nil
}

func parseStatement(version string, raw []byte) (s keyStatement, err error) {
	fields, err := object(raw)
	if err != nil {
		return s, err
	}
	who, ok := fields["Principal"]
	if !ok {
		return s, fmtErr(ErrPolicy, "a statement without Principal")
	}
	delete(fields, "Principal")
	// A Sid decides nothing, and those of key policies have spaces, AWS's own
	// default among them.
	if sid, ok := fields["Sid"]; ok {
		var text string
		if err := json.Unmarshal(sid, &text); err != nil {
			return s, fmtErr(ErrPolicy, "a Sid that is no text")
		}
		delete(fields, "Sid")
	}
	if s.anyone, s.principals, err = parsePrincipal(who); err != nil {
		return s, err
	}
	rest, err := json.Marshal(map[string]any{"Version": version, "Statement": []any{fields}})
	if err != nil {
		return s, fmtErr(ErrPolicy, "%v", err)
	}
	if s.document, err = policy.Parse(rest); err != nil {
		return s, fmtErr(ErrPolicy, "%v", err)
	}
	s.undecided = CheckPolicy(s.document)
	return s, nil
}

// check refuses what a store may hold and nobody may put: statements that
// cannot be decided.
func (p *keyPolicy) check() error {
	for _, s := range p.statements {
		if s.undecided != nil {
			return s.undecided
		}
	}
	return nil
}

var (
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
	principalARN = regexp.MustCompile(`^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:[!-)+->@-~]{1,200}$`) // no * and ?
)

func parsePrincipal(raw []byte) (anyone bool, arns []string, err error) {
	if string(raw) == `"*"` {
		return true, nil, nil
	}
	kinds, err := object(raw)
	if err != nil || len(kinds) == 0 {
		return false, nil, fmtErr(ErrPolicy, `Principal is "*" or {"AWS": ...}`)
	}
	for kind, list := range kinds {
		var many []string
		if json.Unmarshal(list, &many) != nil {
			var one string
			if json.Unmarshal(list, &one) != nil {
				return false, nil, fmtErr(ErrPolicy, "a principal that is no text")
			}
			many = []string{one}
		}
		if len(many) == 0 {
			return false, nil, fmtErr(ErrPolicy, "no principals")
		}
		switch kind {
		case "AWS":
		case "Service": // nobody here is a service: it matches no caller
			continue
		default:
			return false, nil, fmtErr(ErrPolicy, "principals of kind %.40q", kind)
		}
		for _, p := range many {
			switch {
			case p == "*":
				anyone = true
			case accountID.MatchString(p):
				arns = append(arns, "arn:aws:iam::"+p+":root")
			case principalARN.MatchString(p):
				arns = append(arns, p)
			default:
				return false, nil, fmtErr(ErrPolicy, "a principal that is no ARN, or holds wildcards")
			}
		}
	}
	return anyone, arns, nil
}

// object reads one JSON object strictly: every name once, nothing after it.
func object(b []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmtErr(ErrPolicy, "not an object")
	}
	out := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, fmtErr(ErrPolicy, "not JSON")
		}
		if _, twice := out[name]; twice {
			return nil, fmtErr(ErrPolicy, "%.40q occurs twice", name)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, fmtErr(ErrPolicy, "not JSON")
		}
		out[name] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, fmtErr(ErrPolicy, "not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmtErr(ErrPolicy, "something follows")
	}
	return out, nil
}

// keys yields the condition keys that the policy asks for. A nil policy has none.
func (p *keyPolicy) keys(yield func(string) bool) {
	if p == nil {
		return
	}
	for _, s := range p.statements {
		for n := range s.document.Keys() {
			if !yield(n) {
				return
			}
		}
	}
}

// verdict is what a key policy says of one call: refused, allowed, or allowed
// if the account's own policies agree.
type verdict struct{ denied, allowed, delegated bool }

// decide evaluates the policy for a caller. A nil policy is the default: the
// account decides.
func (p *keyPolicy) decide(who, account string, r policy.Request) (v verdict) {
	home := accountOf(who)
	if p == nil {
		return verdict{delegated: home == account, allowed: who == rootARN(account)}
	}
	for _, s := range p.statements {
		direct := s.anyone || slices.ContainsFunc(s.principals, func(p string) bool { return isPrincipal(who, p) })
		viaRoot := slices.Contains(s.principals, rootARN(home))
		if !direct && !viaRoot {
			continue
		}
		if s.undecided != nil && r.Action != "kms:PutKeyPolicy" {
			return verdict{denied: true} // of whoever puts another policy in its place
		}
		switch s.document.Evaluate(r) {
		case policy.Deny:
			return verdict{denied: true}
		case policy.Allow:
			// Another account has a say in what its principals do.
			v.allowed = v.allowed || direct && home == account
			v.delegated = v.delegated || viaRoot || direct
		}
	}
	return v
}

// accountOf is the account of a principal.
func accountOf(arn string) string {
	if f := strings.SplitN(arn, ":", 6); len(f) == 6 {
		return f[4]
	}
	return ""
}

// roleOf is the role that a session's ARN tells of, without its path; "" for
// other principals. Role names are unique in an account whatever their path.
func roleOf(who string) string {
	f := strings.SplitN(who, ":", 6)
	if len(f) != 6 || f[2] != "sts" {
		return ""
	}
	name, ok := strings.CutPrefix(f[5], "assumed-role/")
	name, _, session := strings.Cut(name, "/")
	if !ok || !session || name == "" {
		return ""
	}
	return f[0] + ":" + f[1] + ":iam::" + f[4] + ":role/" + name
}

// isPrincipal reports whether a caller is a principal that a key policy names:
// that very one, or a session of that role.
func isPrincipal(who, named string) bool {
	if who == named {
		return true
	}
	role := roleOf(who)
	at := strings.LastIndexByte(role, '/')
	prefix, path, ok := strings.Cut(named, ":role/")
	return role != "" && ok && prefix+":role/" == role[:at+1] && path[strings.LastIndexByte(path, '/')+1:] == role[at+1:]
}

func rootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

func defaultPolicy(account string) string {
	return strings.Join([]string{`{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions",`,
		`"Effect":"Allow","Principal":{"AWS":"`, rootARN(account), `"},"Action":"kms:*","Resource":"*"}]}`}, "")
}
