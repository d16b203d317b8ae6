package front

import (
	"context"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// Limits of the API.
const (
	maxName        = 100
	maxDescription = 256
	maxContext     = 10_240 // characters on each side of the cursor, as clients send
	maxQuery       = 4_096
	maxToken       = 64
)

// Table lists the operations with their handlers. With a nil receiver it is
// the list that the firewall needs; no handler is called then.
func (f *Front) Table() []api.Operation {
	control := func(name string, target, mutating bool, verbs ...fas.Verb) api.Line {
		return api.Line{Name: name, Plane: api.Control, Action: action(name), OnTarget: target, Mutating: mutating, Verbs: verbs}
	}
	runtime := func(name string, target bool, verbs ...fas.Verb) api.Line {
		return api.Line{Name: name, Plane: api.Runtime, Action: action(name), OnTarget: target, Verbs: verbs}
	}
	return []api.Operation{
		api.Define(control("CreateCustomization", false, true, fas.VerbCatalogCreate), f.create),
		api.Define(control("GetCustomization", true, false, fas.VerbCatalogGet), f.get),
		api.Define(control("ListCustomizations", false, false, fas.VerbCatalogList), f.list),
		api.Define(control("UpdateCustomization", true, true, fas.VerbCatalogActivate, fas.VerbCatalogDeactivate, fas.VerbCatalogUpdate), f.update),
		api.Define(control("DeleteCustomization", true, true, fas.VerbCatalogDelete), f.delete),
		api.Define(control("AssociateCustomizationPermission", true, true, fas.VerbCatalogShare), f.share),
		api.Define(control("DisassociateCustomizationPermission", true, true, fas.VerbCatalogShare), f.unshare),
		api.Define(control("ListCustomizationPermissions", true, false, fas.VerbCatalogGet), f.shares),
		api.Define(runtime("ListAvailableCustomizations", false, fas.VerbCatalogList), f.available),
		api.Define(withBody(runtime("GenerateCompletions", true, fas.VerbQuery, fas.VerbComplete), 256<<10), f.complete),
		api.Define(runtime("GetRetrievals", true, fas.VerbQuery), f.retrieve),
	}
}

func withBody(l api.Line, max int64) api.Line {
	l.MaxBody = max
	return l
}

func (f *Front) create(ctx context.Context, c *api.Call, in *api.CreateCustomizationRequest) (*api.CreateCustomizationResponse, error) {
	if in.CustomizationName.IsEmpty() || in.CustomizationName.Len() > maxName {
		return nil, api.Invalid("customizationName must have 1 to 100 characters.")
	}
	if in.Description.Len() > maxDescription {
		return nil, api.Invalid("description must have at most 256 characters.")
	}
	if len(in.ClientToken) > maxToken {
		return nil, api.Invalid("clientToken must have at most 64 characters.")
	}
	src, err := parseSource(in.DataReference)
	if err != nil {
		return nil, err
	}
	row, ticket, err := f.gate.Catalog(c.Session).Create(ctx, fas.CreateInput{Name: in.CustomizationName, Description: in.Description, SourceURI: src.text, ClientToken: in.ClientToken})
	if err != nil {
		return nil, err
	}
	if len(ticket.Sealed) == 0 {
		// The same call came before, and its ingestion runs or has run.
		return &api.CreateCustomizationResponse{CustomizationARN: api.ARN(row.Customization)}, nil
	}
	if err := f.ingest(ctx, c, row.Customization, row.Version, ticket, src); err != nil {
		return nil, err
	}
	return &api.CreateCustomizationResponse{CustomizationARN: api.ARN(row.Customization)}, nil
}

func (f *Front) get(ctx context.Context, c *api.Call, _ *api.GetCustomizationRequest) (*api.GetCustomizationResponse, error) {
	row, err := f.gate.Catalog(c.Session).Get(ctx, c.Target)
	if err != nil {
		return nil, err
	}
	out := &api.GetCustomizationResponse{CustomizationSummary: summary(row), ErrorDetails: row.Error}
	if !row.SourceURI.IsEmpty() {
		out.DataReference = &api.DataReference{S3Reference: &api.S3Reference{URI: row.SourceURI.Reveal("the owner asks for the own source location")}}
	}
	if row.Score > 0 {
		out.EvaluationMetrics = &api.EvaluationMetrics{CompositeScore: row.Score}
	}
	out.Progress = f.progress.get(row.Customization)
	return out, nil
}

func summary(r fas.Row) api.CustomizationSummary {
	return api.CustomizationSummary{ARN: api.ARN(r.Customization), Version: r.Version, Name: r.Name,
		Description: r.Description, Status: string(r.State), UpdatedAt: float64(r.UpdatedAt.UnixMilli()) / 1000}
}

func (f *Front) list(ctx context.Context, c *api.Call, in *api.ListRequest) (*api.ListCustomizationsResponse, error) {
	return f.page(ctx, c, in, func(fas.Row) bool { return true })
}

// available lists what the caller may use, which the firewall decides.
func (f *Front) available(ctx context.Context, c *api.Call, in *api.ListRequest) (*api.ListCustomizationsResponse, error) {
	return f.page(ctx, c, in, func(r fas.Row) bool { return r.Usable })
}

func (f *Front) page(ctx context.Context, c *api.Call, in *api.ListRequest, keep func(fas.Row) bool) (*api.ListCustomizationsResponse, error) {
	if in.MaxResults < 0 || in.MaxResults > 100 {
		return nil, api.Invalid("maxResults must be between 1 and 100.")
	}
	limit := in.MaxResults
	if limit == 0 {
		limit = 100
	}
	rows, err := f.gate.Catalog(c.Session).List(ctx)
	if err != nil {
		return nil, err
	}
	out := &api.ListCustomizationsResponse{Customizations: []api.CustomizationSummary{}}
	for _, r := range rows {
		id := r.Customization.String()
		if !keep(r) || in.NextToken != "" && id <= in.NextToken {
			continue
		}
		if len(out.Customizations) == limit {
			out.NextToken = strings.TrimPrefix(out.Customizations[limit-1].ARN, api.ARNPrefix)
			break
		}
		out.Customizations = append(out.Customizations, summary(r))
	}
	return out, nil
}

func (f *Front) update(ctx context.Context, c *api.Call, in *api.UpdateCustomizationRequest) (*api.UpdateCustomizationResponse, error) {
	cat := f.gate.Catalog(c.Session)
	switch in.Operation {
	case "ACTIVATE":
		if err := cat.Activate(ctx, c.Target, in.Version); err != nil {
			return nil, err
		}
	case "DEACTIVATE":
		if err := cat.Deactivate(ctx, c.Target); err != nil {
			return nil, err
		}
	case "UPDATE":
		src, err := parseSource(in.DataReference)
		if err != nil {
			return nil, err
		}
		row, ticket, err := cat.Update(ctx, c.Target, src.text)
		if err != nil {
			return nil, err
		}
		if err := f.ingest(ctx, c, row.Customization, row.Version, ticket, src); err != nil {
			return nil, err
		}
	default:
		return nil, api.Invalid("operation must be ACTIVATE, DEACTIVATE or UPDATE.")
	}
	return &api.UpdateCustomizationResponse{CustomizationARN: api.ARN(c.Target)}, nil
}

func (f *Front) delete(ctx context.Context, c *api.Call, _ *api.DeleteCustomizationRequest) (*api.Empty, error) {
	ticket, err := f.gate.Catalog(c.Session).Delete(ctx, c.Target)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, f.remove(ctx, c.Target, ticket)
}

func (f *Front) user(p api.Permission) (tenant.UserID, error) {
	u, err := tenant.ParseUserID(p.User)
	if err != nil {
		return u, api.Invalid("permission.user must be a user ID of the own tenant.")
	}
	return u, nil
}

func (f *Front) share(ctx context.Context, c *api.Call, in *api.PermissionRequest) (*api.Empty, error) {
	u, err := f.user(in.Permission)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, f.gate.Catalog(c.Session).Share(ctx, c.Target, u)
}

func (f *Front) unshare(ctx context.Context, c *api.Call, in *api.PermissionRequest) (*api.Empty, error) {
	u, err := f.user(in.Permission)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, f.gate.Catalog(c.Session).Unshare(ctx, c.Target, u)
}

func (f *Front) shares(ctx context.Context, c *api.Call, _ *api.ListPermissionsRequest) (*api.ListPermissionsResponse, error) {
	users, err := f.gate.Catalog(c.Session).Shares(ctx, c.Target)
	if err != nil {
		return nil, err
	}
	out := &api.ListPermissionsResponse{Permissions: []api.Permission{}}
	for _, u := range users {
		out.Permissions = append(out.Permissions, api.Permission{User: u.String()})
	}
	return out, nil
}

// source is where a version's code lies.
type source struct {
	bucket, prefix string
	text           tenant.Text
}

func parseSource(d *api.DataReference) (source, error) {
	bad := api.Invalid("dataReference.s3Reference.uri must be s3://bucket/prefix/ with a prefix that ends in a slash.")
	if d == nil || d.S3Reference == nil {
		return source{}, bad
	}
	rest, ok := strings.CutPrefix(d.S3Reference.URI, "s3://")
	bucket, prefix, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || bucket == "" || len(prefix) < 2 || !strings.HasSuffix(prefix, "/") || len(rest) > 1024 {
		return source{}, bad
	}
	text, err := tenant.NewText(d.S3Reference.URI, 1100)
	if err != nil {
		return source{}, bad
	}
	return source{bucket, prefix, text}, nil
}

// workDeadline bounds one worker.
const workDeadline = 10 * time.Minute
