package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package.
var (
	ErrEvent        = errors.New("audit: event not accepted")
	ErrUnavailable  = errors.New("audit: log unavailable")
	ErrLocked       = errors.New("audit: log is being written by another process")
	ErrTampered     = errors.New("audit: log was altered")
	ErrTruncated    = errors.New("audit: log was cut off")
	ErrNoCheckpoint = errors.New("audit: no checkpoint")
)

// Decision is what was decided.
type Decision string

const (
	// Allow is a decision that grants.
	Allow Decision = "allow"
	// Deny is a decision that refuses.
	Deny Decision = "deny"
)

// Event is one security decision. It holds machine IDs, digests and reason
// codes, and in Detail what its recorder adds; zero-value fields are left out of
// the record.
type Event struct {
	Time     time.Time
	Kind     string // the verb: [a-z0-9.-]{1,64}
	Decision Decision
	Reason   string // the reason code: [a-z0-9.-]{1,64}

	Tenant        tenant.ID
	User          tenant.UserID
	Customization tenant.CustomizationID
	Collection    tenant.CollectionID
	Snapshot      tenant.SnapshotID
	Session       tenant.SessionID
	Request       tenant.RequestID

	Evidence, Scope         [32]byte
	PolicyRevision, Profile string // hex digests, at most 64 characters

	// Detail has at most 16 pairs; keys are [a-z_]{1,32}, values have at most
	// 1,024 bytes and are written as quoted ASCII, so that what a tenant chose
	// is harmless to whoever reads the log.
	Detail map[string]string
}

// Clip keeps of a text what a detail has room for, and the digest of what it has
// not: a caller must not be able to hide what it sent behind its length.
func Clip(s string) string {
	const most = 900
	if len(s) > most {
		return fmt.Sprintf("%s... sha256:%x", s[:most], sha256.Sum256([]byte(s)))
	}
	return s
}

// Recorder is what the other packages need of a log.
type Recorder interface {
	// Record returns nil when the event is durable. What grants access is
	// recorded before it is handed out.
	Record(ctx context.Context, e Event) error
	// Append returns nil when the event has its place in the order; it becomes
	// durable within the flush interval. It is for denials and reads.
	Append(ctx context.Context, e Event) error
}

var (
	code      = regexp.MustCompile(`^[a-z0-9.-]{1,64}$`)
	hexDigest = regexp.MustCompile(`^[0-9a-f]{0,64}$`)
	detailKey = regexp.MustCompile(`^[a-z_]{1,32}$`)
)

func (e *Event) check() error {
	switch {
	case e.Time.IsZero():
		return fmt.Errorf("%w: no time", ErrEvent)
	case !code.MatchString(e.Kind) || !code.MatchString(e.Reason):
		return fmt.Errorf("%w: kind or reason", ErrEvent)
	case e.Decision != Allow && e.Decision != Deny:
		return fmt.Errorf("%w: decision", ErrEvent)
	case !hexDigest.MatchString(e.PolicyRevision) || !hexDigest.MatchString(e.Profile):
		return fmt.Errorf("%w: a digest is not hex", ErrEvent)
	case len(e.Detail) > 16:
		return fmt.Errorf("%w: more than 16 details", ErrEvent)
	}
	for k, v := range e.Detail {
		if !detailKey.MatchString(k) || len(v) > 1024 {
			return fmt.Errorf("%w: a detail", ErrEvent)
		}
	}
	return nil
}

// record is the line's form. The order of fields is the order on disk.
type record struct {
	Seq            int64             `json:"seq"`
	Prev           string            `json:"prev"`
	Time           string            `json:"time"`
	Kind           string            `json:"kind"`
	Decision       Decision          `json:"decision"`
	Reason         string            `json:"reason"`
	Tenant         string            `json:"tenant,omitempty"`
	User           string            `json:"user,omitempty"`
	Customization  string            `json:"customization,omitempty"`
	Collection     string            `json:"collection,omitempty"`
	Snapshot       string            `json:"snapshot,omitempty"`
	Session        string            `json:"session,omitempty"`
	Request        string            `json:"request,omitempty"`
	Evidence       string            `json:"evidence,omitempty"`
	Scope          string            `json:"scope,omitempty"`
	PolicyRevision string            `json:"policy_revision,omitempty"`
	Profile        string            `json:"profile,omitempty"`
	Detail         map[string]string `json:"detail,omitempty"`
}

func idText[K tenant.Kind](id tenant.Of[K]) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func digestText(d [32]byte) string {
	if d == [32]byte{} {
		return ""
	}
	return hex.EncodeToString(d[:])
}

func (e *Event) encode(seq int64, prev [32]byte) ([]byte, error) {
	r := record{Seq: seq, Prev: hex.EncodeToString(prev[:]), Time: e.Time.UTC().Format(time.RFC3339Nano),
		Kind: e.Kind, Decision: e.Decision, Reason: e.Reason,
		Tenant: idText(e.Tenant), User: idText(e.User), Customization: idText(e.Customization), Collection: idText(e.Collection),
		Snapshot: idText(e.Snapshot), Session: idText(e.Session), Request: idText(e.Request),
		Evidence: digestText(e.Evidence), Scope: digestText(e.Scope), PolicyRevision: e.PolicyRevision, Profile: e.Profile}
	if len(e.Detail) > 0 {
		r.Detail = make(map[string]string, len(e.Detail))
		for k, v := range e.Detail {
			r.Detail[k] = strconv.QuoteToASCII(v)
		}
	}
	return json.Marshal(r)
}

func decodeRecord(line []byte) (record, Event, error) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return r, Event{}, fmt.Errorf("%w: a line is not a record", ErrTampered)
	}
	at, err := time.Parse(time.RFC3339Nano, r.Time)
	if err != nil {
		return r, Event{}, fmt.Errorf("%w: a record's time", ErrTampered)
	}
	e := Event{Time: at, Kind: r.Kind, Decision: r.Decision, Reason: r.Reason, PolicyRevision: r.PolicyRevision, Profile: r.Profile, Detail: r.Detail}
	for _, f := range []struct {
		s string
		p interface{ UnmarshalText([]byte) error }
	}{{r.Tenant, &e.Tenant}, {r.User, &e.User}, {r.Customization, &e.Customization}, {r.Collection, &e.Collection},
		{r.Snapshot, &e.Snapshot}, {r.Session, &e.Session}, {r.Request, &e.Request}} {
		if f.s != "" {
			if err := f.p.UnmarshalText([]byte(f.s)); err != nil {
				return r, Event{}, fmt.Errorf("%w: a record's ID", ErrTampered)
			}
		}
	}
	for _, f := range []struct {
		s string
		d *[32]byte
	}{{r.Evidence, &e.Evidence}, {r.Scope, &e.Scope}} {
		if f.s != "" {
			b, err := hex.DecodeString(f.s)
			if err != nil || len(b) != 32 {
				return r, Event{}, fmt.Errorf("%w: a record's digest", ErrTampered)
			}
			*f.d = [32]byte(b)
		}
	}
	return r, e, nil
}
