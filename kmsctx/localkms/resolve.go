package localkms

import (
	"strings"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/fas/policy"
)

// resolve finds the key that an ID, an alias, or the ARN of either names.
func (c *call) resolve(name string) (string, *key, error) {
	if name == "" || len(name) > 2048 || !validText(name) {
		return "", nil, invalid("KeyId is an ID, an ARN, alias/NAME or an alias's ARN")
	}
	c.via = ""
	if strings.HasPrefix(name, "arn:") {
		rest, ok := strings.CutPrefix(name, c.s.arn(""))
		if !ok {
			if strings.Count(name, ":") < 5 {
				return "", nil, ErrARN
			}
			return "", nil, c.unknown(name) // another account's or region's
		}
		if id, ok := strings.CutPrefix(rest, "key/"); ok {
			return c.known(id)
		}
		if !strings.HasPrefix(rest, aliasPrefix) {
			return "", nil, ErrARN
		}
		name = rest
	}
	if strings.HasPrefix(name, aliasPrefix) {
		a := c.st.Aliases[name]
		if a == nil {
			return "", nil, c.unknown(name)
		}
		c.via = name
		return c.known(a.Key)
	}
	return c.known(name)
}

func (c *call) known(id string) (string, *key, error) {
	k := c.st.live(id, c.now)
	if k == nil {
		return "", nil, c.unknown(id)
	}
	c.event.KeyID = id
	return id, k, nil
}

// unknown is the answer about a key or alias that is not there. Whom the account
// does not let describe it hears what it would hear of one that is there.
func (c *call) unknown(name string) error {
	if !strings.HasPrefix(name, "arn:") {
		name = c.s.arn("key/" + name)
	}
	if c.accountAllows(policy.Request{Action: "kms:DescribeKey", Resource: name, Context: c.common(nil)}) {
		return ErrUnknown
	}
	return ErrNotAuthorized
}

// validText accepts what JSON keeps byte for byte and a line of a log can hold.
func validText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// ready refuses a key that may not be used.
func (k *key) ready() error {
	switch {
	case k.Delete > 0:
		return ErrPendingDeletion
	case k.Disabled:
		return ErrKeyDisabled
	}
	return nil
}

// permitted resolves a key and decides the call about it.
func (c *call) permitted(name string, tokens []string, a access) (string, *key, error) {
	if err := c.readTokens(tokens); err != nil {
		return "", nil, err
	}
	id, k, err := c.resolve(name)
	if err != nil {
		return "", nil, err
	}
	if err := c.allow(id, k, a); err != nil {
		return "", nil, err
	}
	return id, k, nil
}
