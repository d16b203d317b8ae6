package front

import (
	"errors"
	"os"
	"testing"

	"github.com/cloisterdev/cloister/sandbox"
)

// This process is confined by nothing: as a slot it is not asked anything.
func TestSlotMustHaveItsTier(t *testing.T) {
	for _, want := range []sandbox.Tier{sandbox.TierConfined, sandbox.TierNamespaced} {
		if err := atLeast(os.Getpid(), want); !errors.Is(err, sandbox.ErrAttestation) {
			t.Errorf("%v: %v", want, err)
		}
	}
	if err := atLeast(1<<30, sandbox.TierConfined); err == nil {
		t.Error("a process that is not there was attested")
	}
	if err := atLeast(os.Getpid(), sandbox.TierProcess); err != nil {
		t.Errorf("the tier of any process: %v", err)
	}
}
