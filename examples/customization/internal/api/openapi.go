package api

import (
	"reflect"
	"strings"

	"github.com/cloisterdev/cloister/tenant"
)

// OpenAPI describes the operations as an OpenAPI 3.1 document, made from the
// types of the table.
func OpenAPI(ops []Operation) map[string]any {
	paths := map[string]any{}
	for _, o := range ops {
		paths["/"+o.Name] = map[string]any{"post": map[string]any{
			"operationId": o.Name, "tags": []string{string(o.Plane)},
			"requestBody": body(o.in, true),
			"responses": map[string]any{
				"200":     merge(map[string]any{"description": "success"}, body(o.out, false)),
				"default": map[string]any{"description": "an error: X-Amzn-Errortype names it, the body has a message"},
			},
		}}
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "Cloister customization service", "version": "1", "description": "restJson1 over POST, signed in one of three ways: SigV4 (service codewhisperer), RFC 9421 with Ed25519, or a token of the tenant's provider with a DPoP proof"},
		"paths":   paths,
		"components": map[string]any{"securitySchemes": map[string]any{
			"sigv4":         map[string]any{"type": "apiKey", "in": "header", "name": "Authorization", "x-amazon-apigateway-authtype": "awsSigv4"},
			"httpSignature": map[string]any{"type": "apiKey", "in": "header", "name": "Signature", "description": "RFC 9421; the package fas/httpsig says what must be covered"},
			"dpop":          map[string]any{"type": "apiKey", "in": "header", "name": "DPoP", "description": "RFC 9449, with the claims htq and htd of the package fas/oidc"}}},
		"security": []any{map[string]any{"sigv4": []string{}}, map[string]any{"httpSignature": []string{}}, map[string]any{"dpop": []string{}}},
	}
}

func body(t reflect.Type, required bool) map[string]any {
	m := map[string]any{"content": map[string]any{"application/json": map[string]any{"schema": schema(t)}}}
	if required {
		m["required"] = true
	}
	return m
}

func merge(a, b map[string]any) map[string]any {
	for k, v := range b {
		a[k] = v
	}
	return a
}

func schema(t reflect.Type) map[string]any {
	if t == reflect.TypeFor[tenant.Text]() {
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(t.Elem())}
	}
	props := map[string]any{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "" {
			props[name] = schema(f.Type)
		}
	}
	return map[string]any{"type": "object", "properties": props}
}
