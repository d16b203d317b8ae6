package work_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cloisterdev/cloister/examples/customization/internal/work"
)

// A worker without its descriptors does nothing, and what leaves it of an
// error is one of few codes, whatever the error quotes.
func Example() {
	_, err := work.Fetch(context.Background(), []byte(`{}`), []*os.File{})
	fmt.Println(err)
	fmt.Println(work.Code(fmt.Errorf("%w: while reading func secret()", work.ErrTooLarge)))
	fmt.Println(work.Code(errors.New("func secret()")))
	// Output:
	// work: a fetch needs its request and three descriptors
	// source-too-large
	// failed
}
