package hierarchy

import (
	"maps"
	"strings"
	"unicode/utf8"

	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The attributes of an item. All but enc are the encryption context that its
// wrapping is bound to; the key store's name is in that context only.
const (
	attrID      = "branch-key-id"
	attrType    = "type"
	attrVersion = "version" // of the active item only
	attrEnc     = "enc"
	attrKey     = "kms-arn"
	attrCreated = "create-time"
	attrFormat  = "hierarchy-version"
	attrBound   = "aws-crypto-ec:"
	attrStore   = "tablename"

	typeActive  = "branch:ACTIVE"
	typeBeacon  = "beacon:ACTIVE"
	typeVersion = "branch:version:"
	format      = "1"

	createTime = "2006-01-02T15:04:05.000000Z"
)

// item is a branch key or beacon key as the table keeps it.
type item struct {
	id      string
	kind    string  // typeActive, typeBeacon, or typeVersion and the version
	version Version // of a branch key
	key     string  // the KMS key's ARN
	created string
	bound   map[string]string
	enc     []byte
}

// active and kept are the two items of a branch key, beacon the third.
func (i item) active() item { i.kind = typeActive; return i }
func (i item) kept() item   { i.kind = typeVersion + i.version.String(); return i }
func (i item) beacon() item { i.kind, i.version = typeBeacon, Version{}; return i }

// context is what the item's wrapping is bound to.
func (i item) context(store string) map[string]string {
	m := map[string]string{attrID: i.id, attrType: i.kind, attrKey: i.key, attrCreated: i.created, attrFormat: format}
	if i.kind == typeActive {
		m[attrVersion] = typeVersion + i.version.String()
	}
	for k, v := range i.bound {
		m[attrBound+k] = v
	}
	if store != "" {
		m[attrStore] = store
	}
	return m
}

// attributes is the item in the table's form.
func (i item) attributes() map[string]ddb.AttributeValue {
	m := map[string]ddb.AttributeValue{}
	for k, v := range i.context("") {
		m[k] = &ddb.AttributeValueMemberS{Value: v}
	}
	m[attrFormat] = &ddb.AttributeValueMemberN{Value: format}
	m[attrEnc] = &ddb.AttributeValueMemberB{Value: i.enc}
	return m
}

// parseItem reads an item; why it is none is in the text. Attributes that the
// format does not have are refused: KMS would not open the item with them, and
// one named like the key store would hide that it does not belong to it.
func parseItem(in map[string]ddb.AttributeValue) (i item, why string) {
	m := maps.Clone(in)
	enc, ok := m[attrEnc].(*ddb.AttributeValueMemberB)
	if !ok || len(enc.Value) == 0 {
		return item{}, "it holds no wrapped key"
	}
	n, ok := m[attrFormat].(*ddb.AttributeValueMemberN)
	if !ok || n.Value != format {
		return item{}, "it has another hierarchy-version"
	}
	delete(m, attrEnc)
	delete(m, attrFormat)
	i = item{enc: enc.Value, bound: map[string]string{}}
	version := ""
	for name, a := range m {
		s, ok := a.(*ddb.AttributeValueMemberS)
		if !ok || !utf8.ValidString(name) || !utf8.ValidString(s.Value) {
			return item{}, "an attribute has another type"
		}
		switch name {
		case attrID:
			i.id = s.Value
		case attrType:
			i.kind = s.Value
		case attrVersion:
			version = s.Value
		case attrKey:
			i.key = s.Value
		case attrCreated:
			i.created = s.Value
		default:
			k, ok := strings.CutPrefix(name, attrBound)
			if !ok || k == "" {
				return item{}, "it has an attribute that a branch key does not have"
			}
			i.bound[k] = s.Value
		}
	}
	if i.id == "" || i.key == "" || i.created == "" {
		return item{}, "an attribute is missing or empty"
	}
	return versioned(i, version, m[attrVersion] != nil)
}

// versioned takes the version from where an item of its kind has it.
func versioned(i item, version string, has bool) (item, string) {
	from := i.kind
	if i.kind == typeActive {
		from = version
	}
	if has != (i.kind == typeActive) {
		return item{}, "it has a version where none is, or none where one is"
	}
	if i.kind == typeBeacon {
		return i, ""
	}
	text, ok := strings.CutPrefix(from, typeVersion)
	v, err := ParseVersion(text)
	if !ok || err != nil {
		return item{}, "its version or type is none"
	}
	i.version = v
	return i, ""
}
