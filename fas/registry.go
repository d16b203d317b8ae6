package fas

import (
	"context"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// State is the state of a customization, in the words of the API.
type State string

// The states.
const (
	Creating       State = "CREATING"
	Created        State = "CREATED"
	CreationFailed State = "CREATION_FAILED"
	Activated      State = "ACTIVATED"
	Updating       State = "UPDATING"
	UpdateFailed   State = "UPDATE_FAILED"
	Deleting       State = "DELETING"
)

// Snapshot is one version of a collection in the registry.
type Snapshot struct {
	ID         tenant.SnapshotID `json:"id"`
	Version    int               `json:"version"`
	Manifest   [32]byte          `json:"manifest"`
	Key        []byte            `json:"key"`     // wrapped
	Staging    []byte            `json:"staging"` // wrapped; until finished
	Registered bool              `json:"registered"`
	Until      time.Time         `json:"until"` // of an unfinished version
	// Evidence is the digest of the signed call that began the version.
	Evidence [32]byte `json:"evidence"`
}

// Record is the registry's row of a customization: the single fact that
// decides what can be opened.
type Record struct {
	Customization tenant.CustomizationID `json:"customization"`
	Tenant        tenant.ID              `json:"tenant"`
	Collection    tenant.CollectionID    `json:"collection"`
	Name          tenant.Text            `json:"name"`
	Description   tenant.Text            `json:"description"`
	SourceURI     tenant.Text            `json:"source"`
	// Token and Input are digests of the client token of the Create and of what
	// it asked for; zero without a token.
	Token [32]byte        `json:"token"`
	Input [32]byte        `json:"input"`
	State State           `json:"state"`
	Grant string          `json:"grant"`
	Users []tenant.UserID `json:"users"`
	// Latest is the newest finished version, Active the one that is served,
	// Pending the one being made.
	Latest  *Snapshot `json:"latest,omitempty"`
	Active  *Snapshot `json:"active,omitempty"`
	Pending *Snapshot `json:"pending,omitempty"`
	Next    int       `json:"next"`
	Score   float64   `json:"score"`
	Error   string    `json:"error,omitempty"`
	Updated time.Time `json:"updated"`
}

// Registry keeps the rows. Update runs f on the current row and stores the
// result in one transaction; with an error of f nothing changes. What does not
// exist is an error that wraps authz.ErrUnknown.
type Registry interface {
	Create(context.Context, Record) error
	Get(context.Context, tenant.CustomizationID) (Record, error)
	List(context.Context, tenant.ID) ([]Record, error)
	// Unfinished returns the rows, of any tenant, that wait for a workflow: with
	// a pending version, or being deleted.
	Unfinished(context.Context) ([]Record, error)
	Update(ctx context.Context, id tenant.CustomizationID, f func(*Record) error) error
	Delete(context.Context, tenant.CustomizationID) error
}

// Row is what the front end sees of a record: nothing that names or opens a
// collection.
type Row struct {
	Customization tenant.CustomizationID `json:"customization"`
	Name          tenant.Text            `json:"name"`
	Description   tenant.Text            `json:"description"`
	SourceURI     tenant.Text            `json:"source"`
	State         State                  `json:"state"`
	Version       int                    `json:"version"`
	ActiveVersion int                    `json:"active_version"`
	Usable        bool                   `json:"usable"` // by the session's user, now
	Score         float64                `json:"score"`
	Error         string                 `json:"error,omitempty"`
	UpdatedAt     time.Time              `json:"updated_at"`
}

func (r *Record) row(user tenant.UserID) Row {
	out := Row{Customization: r.Customization, Name: r.Name, Description: r.Description, SourceURI: r.SourceURI,
		State: r.State, Score: r.Score, Error: r.Error, UpdatedAt: r.Updated}
	for _, s := range []*Snapshot{r.Latest, r.Pending} {
		if s != nil {
			out.Version = s.Version
		}
	}
	if r.Active != nil {
		out.ActiveVersion = r.Active.Version
		for _, u := range r.Users {
			out.Usable = out.Usable || u == user
		}
	}
	return out
}
