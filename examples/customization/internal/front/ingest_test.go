package front

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/examples/customization/internal/work"
)

// The manifest is the word of a worker that has parsed hostile source.
func TestRegisterRefusesAMalformedManifest(t *testing.T) {
	for _, m := range []string{"", "00", "x", strings.Repeat("0", 63), strings.Repeat("g", 64), strings.Repeat("0", 66), strings.Repeat("0", 4096)} {
		err := new(Front).register(context.Background(), &state{Indexed: work.Indexed{Manifest: m}})
		if want := permanent("manifest-malformed"); !errors.Is(err, want) {
			t.Errorf("%d characters: %v", len(m), err)
		}
	}
}
