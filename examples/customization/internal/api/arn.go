package api

import (
	"strings"

	"github.com/cloisterdev/cloister/tenant"
)

// ARNPrefix is what ARNs of customizations start with.
const ARNPrefix = "arn:aws:codewhisperer:us-east-1:000000000000:customization/"

// ARN is the external form of a customization ID. It names no tenant.
func ARN(id tenant.CustomizationID) string { return ARNPrefix + id.String() }

// ParseCustomization accepts an ARN as made by [ARN] or a bare ID.
func ParseCustomization(s string) (tenant.CustomizationID, error) {
	id, err := tenant.ParseCustomizationID(strings.TrimPrefix(s, ARNPrefix))
	if err != nil {
		return id, Invalid("The customization identifier is not an ARN or ID of this service.")
	}
	return id, nil
}
