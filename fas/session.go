package fas

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrNoEvidence = errors.New("fas: not evidence")
	ErrLevel      = errors.New("fas: the evidence says less than is demanded")
	ErrLimited    = errors.New("fas: too many calls")
	ErrRevoked    = errors.New("fas: revoked")
	ErrDenied     = errors.New("fas: denied")
	ErrOperation  = errors.New("fas: no such operation")
	ErrReplayed   = errors.New("fas: evidence was used before")
	ErrScope      = errors.New("fas: scope-down not accepted")
	ErrTicket     = errors.New("fas: ticket not accepted")
	ErrRole       = errors.New("fas: not allowed on this connection")
	ErrExpired    = errors.New("fas: session expired")
	ErrClosed     = errors.New("fas: closed")
	ErrVerb       = errors.New("fas: not a verb of this session")
	ErrConflict   = errors.New("fas: the state does not allow this")
	ErrAudit      = errors.New("fas: the decision could not be recorded")
	ErrConfig     = errors.New("fas: a part is missing")
	ErrInternal   = errors.New("fas: the firewall failed")

	errFull = errors.New("fas: the replay store is full")
)

// Verb is one thing that a session may be used for.
type Verb string

// The verbs. Each session lists the few that it is good for.
const (
	VerbQuery      Verb = "query"
	VerbComplete   Verb = "complete"
	VerbBucketRead Verb = "bucket.read"
	VerbStage      Verb = "stage"
	VerbIndex      Verb = "index"
	VerbEvaluate   Verb = "evaluate"

	VerbCatalogCreate     Verb = "catalog.create"
	VerbCatalogGet        Verb = "catalog.get"
	VerbCatalogList       Verb = "catalog.list"
	VerbCatalogUpdate     Verb = "catalog.update"
	VerbCatalogActivate   Verb = "catalog.activate"
	VerbCatalogDeactivate Verb = "catalog.deactivate"
	VerbCatalogDelete     Verb = "catalog.delete"
	VerbCatalogShare      Verb = "catalog.share"
)

// Session is access to one resource, for the verbs that it lists, until it
// expires. It never refreshes and never mints another. The zero value is
// closed.
type Session struct {
	id            tenant.SessionID
	tenant        tenant.ID
	user          tenant.UserID
	customization tenant.CustomizationID
	collection    tenant.CollectionID
	snapshot      tenant.SnapshotID
	manifest      [32]byte
	version       int
	verbs         []Verb
	expires       time.Time
	keys          map[Verb]tenant.Secret
	creds         *Credentials
	spans         []Span
	closed        atomic.Bool
}

// Credentials reach one prefix of one bucket, until the session ends.
type Credentials struct {
	AccessKeyID    string
	Secret         tenant.Secret
	Token          string
	Bucket, Prefix string
}

// ID names the session in the audit log.
func (s *Session) ID() tenant.SessionID { return s.id }

// Tenant returns the tenant that the session acts for.
func (s *Session) Tenant() tenant.ID { return s.tenant }

// User returns the user whose signed request this is.
func (s *Session) User() tenant.UserID { return s.user }

// Customization returns the one customization, zero for the catalog.
func (s *Session) Customization() tenant.CustomizationID { return s.customization }

// Collection returns the one collection that the session opens.
func (s *Session) Collection() tenant.CollectionID { return s.collection }

// Snapshot returns the one snapshot that the session opens.
func (s *Session) Snapshot() tenant.SnapshotID { return s.snapshot }

// Manifest returns the digest that the snapshot must have.
func (s *Session) Manifest() [32]byte { return s.manifest }

// Version returns the version of the customization.
func (s *Session) Version() int { return s.version }

// Expires returns when the session ends.
func (s *Session) Expires() time.Time { return s.expires }

// Allows reports whether the session lists the verb.
func (s *Session) Allows(v Verb) bool { return s != nil && slices.Contains(s.verbs, v) }

// Err returns why the session can no longer be used: [ErrClosed] or
// [ErrExpired]. Every user of a session asks at every use.
func (s *Session) Err() error {
	switch {
	case s == nil || s.id.IsZero() || s.closed.Load():
		return ErrClosed
	case !time.Now().Before(s.expires):
		return ErrExpired
	}
	return nil
}

// WithKey calls f with a copy of the key of a verb, 32 bytes that are f's for
// the length of the call and wiped after it. Errors wrap [ErrVerb], [ErrExpired] or [ErrClosed].
func (s *Session) WithKey(v Verb, f func(key []byte) error) error {
	if err := s.Err(); err != nil {
		return err
	}
	k, ok := s.keys[v]
	if !ok || !s.Allows(v) {
		return ErrVerb
	}
	lent := false
	err := k.Use(func(b []byte) error {
		lent = true
		own := slices.Clone(b)
		defer clear(own)
		return f(own)
	})
	if !lent {
		return ErrClosed // in the meantime
	}
	return err
}

// Credentials returns the bucket's credentials of a session that an Exchange
// gave, and [ErrVerb] for every other.
func (s *Session) Credentials() (Credentials, error) {
	if err := s.Err(); err != nil {
		return Credentials{}, err
	}
	if s.creds == nil || !s.Allows(VerbBucketRead) {
		return Credentials{}, ErrVerb
	}
	return *s.creds, nil
}

// Close ends the session and wipes its keys. It is harmless twice.
func (s *Session) Close() error {
	if s == nil || s.closed.Swap(true) {
		return nil
	}
	for _, k := range s.keys {
		k.Destroy()
	}
	if s.creds != nil {
		s.creds.Secret.Destroy()
	}
	return nil
}

// String returns the machine ID; keys never print.
func (s *Session) String() string { return s.id.String() }
