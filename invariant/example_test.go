package invariant_test

import (
	"fmt"

	"github.com/cloisterdev/cloister/invariant"
)

// An invariant that nothing attacks is not in the catalogue: a sentence without
// an attack is a wish.
func ExampleRooms() {
	unattacked := 0
	for _, room := range invariant.Rooms() {
		for _, i := range room.Invariants {
			if len(i.Tests)+len(i.Gallery) == 0 {
				unattacked++
			}
			if i.ID == "KMS-01" {
				fmt.Println(i.Statement)
			}
		}
	}
	fmt.Println("without an attack:", unattacked)
	// Output:
	// A message opens under exactly the context that it was sealed under.
	// without an attack: 0
}
