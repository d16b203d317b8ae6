package fas

import (
	"context"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/tenant"
)

// Request says what a session is wanted for. It is the front end's word; the
// firewall derives everything that matters from the evidence and its registry.
type Request struct {
	RequestID     tenant.RequestID       `json:"request_id,omitzero"`
	Customization tenant.CustomizationID `json:"-"`
	// Profile and Scope are for Exchange: the name of a signed profile and a
	// policy that narrows it. An empty scope is refused.
	Profile string `json:"profile,omitempty"`
	Scope   []byte `json:"scope,omitempty"`
	// TTL shortens the life of the session, to whole seconds where it is on a
	// bucket; zero, or more than is allowed, means as long as is allowed.
	// Less than zero is refused.
	TTL time.Duration `json:"ttl,omitempty"`
}

// lifetime is what a caller may only shorten.
func (r Request) lifetime(longest time.Duration) time.Duration {
	if r.TTL > 0 {
		return min(r.TTL, longest)
	}
	return longest
}

// Gate is what the rest of the service sees of the firewall.
type Gate interface {
	AssumeOwn(context.Context, Evidence, Request) (*Session, error)
	Exchange(context.Context, Evidence, Request) (*Session, error)
}

// Operation is one line of the table from which the firewall derives, by the
// signed request line, what a call is.
type Operation struct {
	Path            string // "/Name"
	Action          authz.Action
	OnCustomization bool
	Mutating        bool
	Verbs           []Verb
	// Callers are the workloads that may ask for it; empty means every one
	// that reaches the firewall.
	Callers []string
}

// Identity is whom an access key, a token or a public key belongs to. Secret
// is for access keys only.
type Identity struct {
	Tenant tenant.ID
	User   tenant.UserID
	Secret tenant.Secret
}

// Identities finds the identity of an access key.
type Identities interface {
	Lookup(accessKeyID string) (Identity, bool)
}

// Binding is what a data key is for. Keys are bound to all of it.
type Binding struct {
	Tenant        tenant.ID
	Customization tenant.CustomizationID
	Collection    tenant.CollectionID
	Snapshot      tenant.SnapshotID
	Purpose       string // "snapshot" or "staging"
}

// Keys is the firewall's key service. A grant is good for one customization.
type Keys interface {
	Grant(context.Context, tenant.ID, tenant.CustomizationID) (grant string, err error)
	Retire(ctx context.Context, grant string) error
	Generate(ctx context.Context, grant string, b Binding) (plain, wrapped []byte, err error)
	Unwrap(ctx context.Context, grant string, b Binding, wrapped []byte) ([]byte, error)
}

// Grant is what an issuer may make credentials for. Only the firewall makes
// one, after it verified and authorized.
type Grant struct {
	session        tenant.SessionID
	caller         tenant.Caller
	bucket, prefix string
	profile, scope []byte
	expires        time.Time
	customization  tenant.CustomizationID
	evidence       [32]byte
	audience       string
}

// Session names the session.
func (g Grant) Session() tenant.SessionID { return g.session }

// Caller returns for whom the credentials act.
func (g Grant) Caller() tenant.Caller { return g.caller }

// Customization returns what the credentials are for.
func (g Grant) Customization() tenant.CustomizationID { return g.customization }

// Evidence returns the digest of the signed call, as the audit log has it.
func (g Grant) Evidence() [32]byte { return g.evidence }

// Layers returns the policies that must both allow.
func (g Grant) Layers() (profile, scope []byte) { return g.profile, g.scope }

// Audience returns the one service that may accept the credentials.
func (g Grant) Audience() string { return g.audience }

// Expires returns when the credentials end.
func (g Grant) Expires() time.Time { return g.expires }

// Bucket returns the bucket and prefix that the signed body named.
func (g Grant) Bucket() (bucket, prefix string) { return g.bucket, g.prefix }

// Issuer makes credentials for a bucket. The zero Grant must be refused.
type Issuer interface {
	Issue(context.Context, Grant) (Credentials, error)
}

// Ticket is what survives a crash of an ingestion: good only through a
// firewall connection, only for the unfinished version of one customization,
// for the steps still to do, for 24 hours. Collection and Snapshot say where
// its files go; what counts is inside.
type Ticket struct {
	Collection tenant.CollectionID `json:"collection"`
	Snapshot   tenant.SnapshotID   `json:"snapshot"`
	Sealed     []byte              `json:"sealed"`
}

// boundTo is the policy that a signed s3:// URI amounts to.
func boundTo(bucket, prefix string) (*policy.Document, error) {
	arn := "arn:aws:s3:::" + policy.Literal(bucket+"/"+prefix) + "*"
	raw, err := policy.Marshal(policy.Statement{Effect: "Allow", Actions: []string{"s3:GetObject", "s3:ListBucket"}, Resources: []string{arn}})
	if err != nil {
		return nil, err
	}
	return policy.Parse(raw)
}
