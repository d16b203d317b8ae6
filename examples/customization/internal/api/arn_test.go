package api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/tenant"
)

// An identifier is an ARN or an ID that this service made; everything else is
// one refusal that does not repeat it.
func ExampleParseCustomization() {
	_, err := api.ParseCustomization("arn:aws:s3:::somebodys-bucket")
	fmt.Println(err)
	id := tenant.NewCustomizationID()
	again, err := api.ParseCustomization(api.ARN(id))
	fmt.Println(again == id, err)
	// Output:
	// ValidationException: The customization identifier is not an ARN or ID of this service.
	// true <nil>
}

// FuzzParseCustomization: what is accepted is written in one of two ways.
func FuzzParseCustomization(f *testing.F) {
	id := tenant.NewCustomizationID()
	for _, s := range []string{"", id.String(), api.ARN(id), api.ARN(id) + " ", api.ARNPrefix + api.ARN(id), strings.ToUpper(id.String()), id.String() + "\x00", api.ARNPrefix, tenant.NewID().String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := api.ParseCustomization(s)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Code != api.ErrValidation.Code || len(s) > 20 && strings.Contains(err.Error(), s) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if id.IsZero() || s != id.String() && s != api.ARN(id) {
			t.Fatalf("%q became %s", s, id)
		}
	})
}
