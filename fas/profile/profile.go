package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The sentinel errors of this package.
var (
	ErrMalformed  = errors.New("profile: malformed")
	ErrUnapproved = errors.New("profile: not approved by every role")
	ErrKeyring    = errors.New("profile: keyring not accepted")
	ErrExpired    = errors.New("profile: not valid now")
	ErrRollback   = errors.New("profile: does not replace the other")
)

// MaxSize is the largest envelope accepted, in bytes.
const MaxSize = 64 << 10

// Role is a team that must approve.
type Role string

// The roles. Every one must sign.
const (
	Service  Role = "service"
	Security Role = "security"
	Identity Role = "identity"
)

var roles = []Role{Service, Security, Identity}

// MaxTTL is the longest life of a session under any profile.
const MaxTTL = 15 * time.Minute

// AnyCaller, alone in Profile.Callers, stands for every workload that reaches
// the firewall.
const AnyCaller = "*"

// DefaultAudience is the resource service that sessions are for where a
// profile names none.
const DefaultAudience = "s3"

const (
	maxExchanges = 1000
	maxList      = 64
	maxName      = 128
)

// Profile is the upper bound of one kind of exchange. Whoever enforces it reads
// it from a [Verified], where every field is set.
type Profile struct {
	ID string `json:"id"`
	// Version counts up from 1; a higher one replaces a lower one.
	Version int `json:"version"`
	// Operations are the signed paths that the profile serves: "/Name", or with
	// segments in braces as of [MatchOperation]. At most 64.
	Operations []string `json:"operations"`
	// Callers are the names of the workloads that may use the profile, as the
	// firewall's socket knows them, at most 64; [AnyCaller] alone is every one.
	// None is refused.
	Callers []string `json:"callers"`
	// Audience is the resource service that accepts the sessions, and no other
	// may. Empty becomes [DefaultAudience].
	Audience string `json:"audience"`
	// MinLevel is how much the evidence must prove. Empty becomes [LevelBody].
	// It is never less than what Bind reads.
	MinLevel Level `json:"min_level"`
	// Allow is a policy in the IAM language, and required. [New], [Load] and a
	// [Store] take any JSON value: it is parsed by who decides by it.
	// fas.NewFirewall refuses a profile whose Allow is no policy, and a firewall
	// uses none of a store's; [StoreOptions].Check can keep one from coming into
	// force, as firewalld's does; the command refuses it in new, show, verify and
	// diff.
	Allow json.RawMessage `json:"allow"`
	// Bind is the place, in what was signed, that names the resource: the text
	// form of a [Binding]. What stands there is an s3:// URI that ends in "/",
	// or, in a path, a bucket's name.
	Bind string `json:"bind"`
	// TTL is the life of a session in seconds, at most 900.
	TTL int `json:"ttl"`
	// MaxExchanges is how many sessions one signed call may be exchanged for, at
	// most 1000. Zero becomes 1.
	MaxExchanges int       `json:"max_exchanges"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
}

// PermitsCaller reports whether the workload of that name may use the profile.
// A workload without a name may where every one may.
func (p Profile) PermitsCaller(name string) bool {
	if len(p.Callers) == 1 && p.Callers[0] == AnyCaller {
		return true
	}
	return name != AnyCaller && slices.Contains(p.Callers, name)
}

func (p Profile) withDefaults() Profile {
	p.NotBefore, p.NotAfter = p.NotBefore.UTC(), p.NotAfter.UTC()
	if p.Audience == "" {
		p.Audience = DefaultAudience
	}
	if p.MinLevel == "" {
		p.MinLevel = LevelBody
	}
	if p.MaxExchanges == 0 {
		p.MaxExchanges = 1
	}
	return p
}

func (p Profile) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	switch {
	case !plainName(p.ID):
		return bad("id is required: letters, digits and -._ only, at most %d", maxName)
	case p.Version < 1:
		return bad("version counts up from 1")
	case len(p.Operations) == 0 || len(p.Operations) > maxList || repeats(p.Operations):
		return bad("operations are required, each once, at most %d", maxList)
	case len(p.Callers) == 0 || len(p.Callers) > maxList || repeats(p.Callers):
		return bad("callers are required, each once, at most %d; %q alone is every workload", maxList, AnyCaller)
	case !plainName(p.Audience):
		return bad("audience is a plain name")
	case len(p.Allow) == 0:
		return bad("allow is required")
	case p.TTL < 1 || p.TTL > int(MaxTTL/time.Second):
		return bad("ttl must be between 1 and 900 seconds")
	case p.MaxExchanges < 1 || p.MaxExchanges > maxExchanges:
		return bad("max_exchanges must be between 1 and %d", maxExchanges)
	case !p.NotAfter.After(p.NotBefore) || p.NotAfter.Sub(p.NotBefore) > 400*24*time.Hour:
		return bad("validity must be positive and at most 400 days")
	}
	for _, c := range p.Callers {
		if c == AnyCaller && len(p.Callers) > 1 {
			return bad("caller %q stands alone", c)
		}
		if !plainCaller(c) && c != AnyCaller {
			return bad("caller %q is not a name", c)
		}
	}
	b, err := ParseBind(p.Bind)
	if err != nil {
		return err
	}
	if !p.MinLevel.Meets(b.NeedsLevel()) {
		return bad("min_level is \"digest\", \"canonical\" or \"body\", and at least %q for this bind", b.NeedsLevel())
	}
	for _, op := range p.Operations {
		if err := checkOperation(op); err != nil {
			return err
		}
		if b.From == FromPath {
			if !slices.Contains(strings.Split(op, "/"), "{"+b.Name+"}") {
				return bad("operation %q has no segment {%s}, which bind reads", op, b.Name)
			}
		}
	}
	return nil
}

func repeats(s []string) bool {
	sorted := slices.Sorted(slices.Values(s))
	return len(slices.Compact(sorted)) != len(s)
}

// plainName accepts what can stand in a file name, a log and a command line.
func plainName(s string) bool {
	return len(s) <= maxName && plainSegment(s) && s[0] != '-' && s[0] != '.'
}

// plainCaller accepts plain names and SPIFFE-like ones of several segments.
func plainCaller(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '*' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= 2*maxName
}
