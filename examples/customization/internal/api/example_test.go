package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/fas"
)

// A line of the table is all that there is to say about an operation; who
// calls it without a signature is refused before its handler is asked.
func Example() {
	ops := []api.Operation{api.Define(
		api.Line{Name: "ListCustomizations", Plane: api.Control, Action: "ListCustomizations", Verbs: []fas.Verb{fas.VerbCatalogList}},
		func(context.Context, *api.Call, *api.ListRequest) (*api.ListCustomizationsResponse, error) {
			panic("never called without a session")
		})}
	table, err := api.NewTable(&fas.Client{}, nowhere{}, ops, nil)
	if err != nil {
		panic(err)
	}
	for _, target := range []string{"/ListCustomizations", "/ListCustomizations/", "/listcustomizations"} {
		w := httptest.NewRecorder()
		table.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, http.NoBody))
		fmt.Println(w.Code, w.Header().Get("X-Amzn-Errortype"), w.Body)
	}
	fmt.Println(api.Firewalled(ops)[0].Path)
	// Output:
	// 403 AccessDeniedException {"message":"You are not authorized to perform this operation."}
	// 404 UnknownOperationException {"message":"No such operation."}
	// 404 UnknownOperationException {"message":"No such operation."}
	// /ListCustomizations
}

// nowhere is an audit log for an example without a firewall.
type nowhere struct{}

func (nowhere) Report(context.Context, fas.Refusal) error { return nil }
