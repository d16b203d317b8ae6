package main

import (
	"testing"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
)

// Whoever names another tenant's bucket as a source learns nothing that a
// bucket which never was would not teach as well.
func TestForeignAndMissingSourceLookAlike(t *testing.T) {
	st, _ := startStack(t)
	ctx := testContext(t, time.Minute)
	a, b := newSide(t, st, "a", corpus("Aa", 4)), newSide(t, st, "b", corpus("Bb", 4))
	end := func(bucket string) *api.GetCustomizationResponse {
		var made api.CreateCustomizationResponse
		if _, err := a.admin.Call(ctx, "CreateCustomization", map[string]any{"customizationName": "c", "clientToken": unique(),
			"dataReference": a.reference(bucket, prefix)}, &made); err != nil {
			t.Fatal(err)
		}
		got, _ := waitFor(ctx, a.admin, made.CustomizationARN, nil)
		if got == nil {
			t.Fatal("no end")
		}
		return got
	}
	foreign, missing := end(b.admin.User.Bucket), end("src-00000000000000000000000000")
	if foreign.Status != "CREATION_FAILED" || foreign.Status != missing.Status || foreign.ErrorDetails == "" || foreign.ErrorDetails != missing.ErrorDetails {
		t.Errorf("foreign: %s %q, missing: %s %q", foreign.Status, foreign.ErrorDetails, missing.Status, missing.ErrorDetails)
	}
	if own := end(a.admin.User.Bucket); own.Status != "CREATED" {
		t.Errorf("the own bucket: %s %q", own.Status, own.ErrorDetails)
	}
}
