package front_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/front"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// line is what a reviewer of the service's surface reads. It is written down a
// second time here, so that no operation changes its rights by the way.
type line struct {
	plane    api.Plane
	target   bool
	mutating bool
	body     int64 // KiB
	verbs    string
	in, out  reflect.Type
	// What AWS's model of the operation has, of what is here, and what is here
	// beside it.
	aws, awsOut, more string
}

var lines = map[string]line{
	"CreateCustomization": {api.Control, false, true, 64, "catalog.create", of[api.CreateCustomizationRequest](), of[api.CreateCustomizationResponse](),
		"customizationName profileArn dataReference description clientToken", "customizationArn", ""},
	"GetCustomization": {api.Control, true, false, 64, "catalog.get", of[api.GetCustomizationRequest](), of[api.GetCustomizationResponse](),
		"identifier", "arn version status errorDetails dataReference customizationName description updatedAt evaluationMetrics", "progress"},
	"ListCustomizations": {api.Control, false, false, 64, "catalog.list", of[api.ListRequest](), of[api.ListCustomizationsResponse](),
		"maxResults nextToken", "customizations nextToken", ""},
	"UpdateCustomization": {api.Control, true, true, 64, "catalog.activate catalog.deactivate catalog.update", of[api.UpdateCustomizationRequest](), of[api.UpdateCustomizationResponse](),
		"identifier operation version dataReference clientToken", "customizationArn", ""},
	"DeleteCustomization": {api.Control, true, true, 64, "catalog.delete", of[api.DeleteCustomizationRequest](), of[api.Empty](),
		"identifier", "", ""},
	"AssociateCustomizationPermission": {api.Control, true, true, 64, "catalog.share", of[api.PermissionRequest](), of[api.Empty](),
		"identifier permission", "", ""},
	"DisassociateCustomizationPermission": {api.Control, true, true, 64, "catalog.share", of[api.PermissionRequest](), of[api.Empty](),
		"identifier permission", "", ""},
	"ListCustomizationPermissions": {api.Control, true, false, 64, "catalog.get", of[api.ListPermissionsRequest](), of[api.ListPermissionsResponse](),
		"identifier", "permissions", ""},
	"ListAvailableCustomizations": {api.Runtime, false, false, 64, "catalog.list", of[api.ListRequest](), of[api.ListCustomizationsResponse](),
		"maxResults nextToken", "customizations nextToken", ""},
	"GenerateCompletions": {api.Runtime, true, false, 256, "query complete", of[api.GenerateCompletionsRequest](), of[api.GenerateCompletionsResponse](),
		"fileContext customizationArn maxResults", "completions", "maxTokens"},
	"GetRetrievals": {api.Runtime, true, false, 64, "query", of[api.GetRetrievalsRequest](), of[api.GetRetrievalsResponse](),
		"customizationArn query languageName maxResults", "retrievals", ""},
}

func of[T any]() reflect.Type { return reflect.TypeFor[T]() }

func table() []api.Operation {
	var none *front.Front
	return none.Table()
}

// TestOperations compares the table with the one above, line by line.
func TestOperations(t *testing.T) {
	t.Parallel()
	ops := table()
	if _, err := api.NewTable(&fas.Client{}, &fas.Client{}, ops, nil); err != nil {
		t.Errorf("the table is refused: %v", err)
	}
	seen := map[string]bool{}
	for _, o := range ops {
		want, ok := lines[o.Name]
		if !ok || seen[o.Name] {
			t.Errorf("%s is not in the table that was reviewed, or twice in the other", o.Name)
			continue
		}
		seen[o.Name] = true
		var verbs []string
		for _, v := range o.Verbs {
			verbs = append(verbs, string(v))
		}
		if o.Plane != want.plane || o.OnTarget != want.target || o.Mutating != want.mutating || o.MaxBody != want.body<<10 || strings.Join(verbs, " ") != want.verbs {
			t.Errorf("%s: %+v", o.Name, o.Line)
		}
		// The Cedar action is the operation's own: no two share one.
		if string(o.Action) != o.Name {
			t.Errorf("%s is authorized as %s", o.Name, o.Action)
		}
		if o.Mutating && o.MaxBody > sigv4.MaxBody || o.Plane == api.Runtime && o.Mutating {
			t.Errorf("%s changes something with a body that evidence cannot carry, or while it is used", o.Name)
		}
	}
	if len(seen) != len(lines) {
		t.Errorf("%d operations, %d were reviewed", len(seen), len(lines))
	}
	// The firewall gets the same lines, by path.
	for i, f := range api.Firewalled(ops) {
		o := ops[i]
		if f.Path != "/"+o.Name || f.Action != o.Action || f.OnCustomization != o.OnTarget || f.Mutating != o.Mutating || !slices.Equal(f.Verbs, o.Verbs) {
			t.Errorf("the firewall knows %s as %+v", o.Name, f)
		}
	}
}

// TestOpenAPI holds the document to the table and to the wire: each operation
// is there once, a full value of its Go types has exactly the described
// members in the described types, and no reference is left open.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(api.OpenAPI(table()))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI    string
		Info       struct{ Title, Version string }
		Paths      map[string]map[string]operation
		Security   []map[string][]string
		Components struct {
			SecuritySchemes map[string]map[string]any
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Title == "" || doc.Info.Version == "" || len(doc.Security) != 3 {
		t.Errorf("the document's head: %+v", doc)
	}
	for _, s := range doc.Security {
		for name := range s {
			if doc.Components.SecuritySchemes[name] == nil {
				t.Errorf("security scheme %s is not defined", name)
			}
		}
	}
	if strings.Contains(string(b), `"$ref"`) {
		resolve(t, b)
	}
	if len(doc.Paths) != len(lines) {
		t.Errorf("%d paths, %d operations", len(doc.Paths), len(lines))
	}
	for name, l := range lines {
		item := doc.Paths["/"+name]
		o, ok := item["post"]
		if !ok || len(item) != 1 || o.OperationID != name || len(o.Tags) != 1 || o.Tags[0] != string(l.plane) {
			t.Errorf("%s: %+v", name, item)
			continue
		}
		if o.Body == nil || !o.Body.Required || o.Responses["default"].Description == "" || o.Responses["200"].Description == "" {
			t.Errorf("%s: body or responses are not described", name)
			continue
		}
		describes(t, name+" request", o.Body.Content["application/json"].Schema, full(l.in))
		describes(t, name+" response", o.Responses["200"].Content["application/json"].Schema, full(l.out))
		same(t, name+" request", o.Body.Content["application/json"].Schema, l.aws+" "+onlyIf(l.more, l.in))
		same(t, name+" response", o.Responses["200"].Content["application/json"].Schema, l.awsOut+" "+onlyIf(l.more, l.out))
	}
}

type operation struct {
	OperationID string `json:"operationId"`
	Tags        []string
	Body        *content `json:"requestBody"`
	Responses   map[string]content
}

type content struct {
	Required    bool
	Description string
	Content     map[string]struct{ Schema shape }
}

type shape struct {
	Type       string
	Properties map[string]shape
	Items      *shape
	Additional *shape `json:"additionalProperties"`
}

// full is a value of a type in which everything is set, as it is on the wire.
func full(t reflect.Type) any {
	v := reflect.New(t).Elem()
	fill(v)
	b, err := json.Marshal(v.Addr().Interface())
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

func fill(v reflect.Value) {
	if v.Type() == reflect.TypeFor[tenant.Text]() {
		text, err := tenant.NewText("x", 1)
		if err != nil {
			panic(err)
		}
		v.Set(reflect.ValueOf(text))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), e)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1.5)
	default:
		panic("a kind that the wire has not: " + v.Kind().String())
	}
}

func describes(t *testing.T, where string, s shape, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			t.Errorf("%s is an object, described as %q", where, s.Type)
			return
		}
		if s.Additional != nil {
			for _, e := range v {
				describes(t, where+".*", *s.Additional, e)
			}
			return
		}
		for k, e := range v {
			if p, ok := s.Properties[k]; !ok {
				t.Errorf("%s.%s is not described", where, k)
			} else {
				describes(t, where+"."+k, p, e)
			}
		}
		for k := range s.Properties {
			if _, ok := v[k]; !ok {
				t.Errorf("%s.%s is described and never there", where, k)
			}
		}
	case []any:
		if s.Type != "array" || s.Items == nil {
			t.Errorf("%s is a list, described as %q", where, s.Type)
			return
		}
		describes(t, where+"[]", *s.Items, v[0])
	case string:
		want(t, where, s.Type, "string")
	case bool:
		want(t, where, s.Type, "boolean")
	case float64:
		if v == 1.5 {
			want(t, where, s.Type, "number")
		} else {
			want(t, where, s.Type, "integer")
		}
	default:
		t.Errorf("%s: %T", where, v)
	}
}

func want(t *testing.T, where, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %s, described as %q", where, want, got)
	}
}

func same(t *testing.T, where string, s shape, names string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(s.Properties))
	want := strings.Fields(names)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s has %v, the model %v", where, got, want)
	}
}

// onlyIf returns those additions that a type has.
func onlyIf(more string, t reflect.Type) string {
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if slices.Contains(strings.Fields(more), name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// resolve follows every reference of the document to something in it.
func resolve(t *testing.T, raw []byte) {
	t.Helper()
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := doc
				for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[step]
				}
				if at == nil || !strings.HasPrefix(ref, "#/") {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
}
