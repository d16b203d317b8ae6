package tenant

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
)

// ErrBadID is returned by parsers for anything that is not an ID of the wanted
// kind. The error does not repeat the text.
var ErrBadID = errors.New("tenant: not a valid ID of this kind")

// ErrZeroID is returned where a zero-value ID is used.
var ErrZeroID = errors.New("tenant: zero ID")

// Crockford's alphabet in lower case: no i, l, o, u, so that a person who
// copies an ID by hand cannot produce another valid one by a common slip.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

const (
	rawLen  = 16
	textLen = 26
	maxText = 31 // with the longest prefix
)

// Kind is the set of things that have an ID. It is sealed: only this package
// declares kinds.
type Kind interface{ prefix() string }

type (
	kindTenant        struct{}
	kindUser          struct{}
	kindCustomization struct{}
	kindCollection    struct{}
	kindSnapshot      struct{}
	kindSession       struct{}
	kindRequest       struct{}
)

func (kindTenant) prefix() string        { return "tn-" }
func (kindUser) prefix() string          { return "usr-" }
func (kindCustomization) prefix() string { return "cus-" }
func (kindCollection) prefix() string    { return "col-" }
func (kindSnapshot) prefix() string      { return "snap-" }
func (kindSession) prefix() string       { return "ses-" }
func (kindRequest) prefix() string       { return "req-" }

// Of is an ID of kind K: 128 random bits. IDs are comparable and may be map
// keys. The text form is the kind's prefix and 26 characters of lower-case
// Crockford base32, at most 31 characters, which fits a DNS label, a KMS grant
// name and an OpenSearch Serverless collection name.
type Of[K Kind] struct {
	// The zero-length field is what makes conversion between kinds a compile
	// error; it stands first because a trailing one costs padding.
	_   [0]K
	raw [rawLen]byte
	set bool
}

type (
	// ID names a tenant: "tn-…".
	ID = Of[kindTenant]
	// UserID names a user of one tenant: "usr-…".
	UserID = Of[kindUser]
	// CustomizationID names a customization, and is what callers see: "cus-…".
	CustomizationID = Of[kindCustomization]
	// CollectionID names the collection of a customization. It is unrelated to
	// the customization's own ID, so that no outsider can name a collection:
	// "col-…".
	CollectionID = Of[kindCollection]
	// SnapshotID names one sealed version of a collection: "snap-…".
	SnapshotID = Of[kindSnapshot]
	// SessionID names a session issued by the identity firewall: "ses-…".
	SessionID = Of[kindSession]
	// RequestID names one request, in answers and in the audit log: "req-…".
	RequestID = Of[kindRequest]
)

func make128[K Kind]() Of[K] {
	id := Of[K]{set: true}
	// rand.Read never fails: the program crashes when the system has no
	// randomness (crypto/rand, since Go 1.24).
	_, _ = rand.Read(id.raw[:])
	return id
}

// NewID makes a tenant ID.
func NewID() ID { return make128[kindTenant]() }

// NewUserID makes a user ID.
func NewUserID() UserID { return make128[kindUser]() }

// NewCustomizationID makes a customization ID.
func NewCustomizationID() CustomizationID { return make128[kindCustomization]() }

// NewCollectionID makes a collection ID.
func NewCollectionID() CollectionID { return make128[kindCollection]() }

// NewSnapshotID makes a snapshot ID.
func NewSnapshotID() SnapshotID { return make128[kindSnapshot]() }

// NewSessionID makes a session ID.
func NewSessionID() SessionID { return make128[kindSession]() }

// NewRequestID makes a request ID.
func NewRequestID() RequestID { return make128[kindRequest]() }

func parse[K Kind](s string) (Of[K], error) {
	var id Of[K]
	var k K
	p := k.prefix()
	if len(s) != len(p)+textLen || s[:len(p)] != p {
		return Of[K]{}, fmt.Errorf("%w: want %q and %d characters", ErrBadID, p, textLen)
	}
	var text, again [textLen]byte
	copy(text[:], s[len(p):])
	n, err := encoding.Decode(id.raw[:], text[:])
	// 26 characters hold 130 bits; re-encoding refuses the second spelling
	// that the two spare bits would allow.
	if encoding.Encode(again[:], id.raw[:]); err != nil || n != rawLen || again != text {
		return Of[K]{}, fmt.Errorf("%w: want %q and %d characters", ErrBadID, p, textLen)
	}
	id.set = true
	return id, nil
}

// ParseID parses the text form of a tenant ID. Errors wrap [ErrBadID].
func ParseID(s string) (ID, error) { return parse[kindTenant](s) }

// ParseUserID parses the text form of a user ID. Errors wrap [ErrBadID].
func ParseUserID(s string) (UserID, error) { return parse[kindUser](s) }

// ParseCustomizationID parses the text form of a customization ID. Errors wrap
// [ErrBadID].
func ParseCustomizationID(s string) (CustomizationID, error) { return parse[kindCustomization](s) }

// ParseCollectionID parses the text form of a collection ID. Errors wrap
// [ErrBadID].
func ParseCollectionID(s string) (CollectionID, error) { return parse[kindCollection](s) }

// ParseSnapshotID parses the text form of a snapshot ID. Errors wrap
// [ErrBadID].
func ParseSnapshotID(s string) (SnapshotID, error) { return parse[kindSnapshot](s) }

// ParseSessionID parses the text form of a session ID. Errors wrap [ErrBadID].
func ParseSessionID(s string) (SessionID, error) { return parse[kindSession](s) }

// ParseRequestID parses the text form of a request ID. Errors wrap [ErrBadID].
func ParseRequestID(s string) (RequestID, error) { return parse[kindRequest](s) }

// IsZero reports whether the ID is the invalid zero value. Packages that take
// an ID refuse a zero one with an error that wraps [ErrZeroID].
func (id Of[K]) IsZero() bool { return !id.set }

// String returns the text form. A zero ID prints as its prefix and "zero",
// which no parser accepts.
func (id Of[K]) String() string {
	var b [maxText]byte
	return string(id.append(b[:0]))
}

func (id Of[K]) append(b []byte) []byte {
	var k K
	b = append(b, k.prefix()...)
	if !id.set {
		return append(b, "zero"...)
	}
	return encoding.AppendEncode(b, id.raw[:])
}

// LogValue returns the text form.
func (id Of[K]) LogValue() slog.Value { return slog.StringValue(id.String()) }

// MarshalText returns the text form, or [ErrZeroID].
func (id Of[K]) MarshalText() ([]byte, error) {
	if !id.set {
		return nil, ErrZeroID
	}
	return id.append(make([]byte, 0, maxText)), nil
}

// UnmarshalText parses the text form. Errors wrap [ErrBadID].
func (id *Of[K]) UnmarshalText(b []byte) error {
	got, err := parse[K](string(b))
	if err != nil {
		return err
	}
	*id = got
	return nil
}
