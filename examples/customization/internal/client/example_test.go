package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
)

// A refusal is an error with the service's code.
func Example() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ListCustomizations" {
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"customizations":[{"customizationName":"mine"}]}`)
	}))
	defer service.Close()
	c := client.New(strings.TrimPrefix(service.URL, "http://"), client.User{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Secret: "secret"})

	_, err := c.Call(context.Background(), "DeleteCustomization", map[string]string{"identifier": "theirs"}, nil)
	var f *client.Failure
	fmt.Println(errors.As(err, &f), f.Code)

	var out struct {
		Customizations []struct{ CustomizationName string }
	}
	_, err = c.Call(context.Background(), "ListCustomizations", struct{}{}, &out)
	fmt.Println(out.Customizations[0].CustomizationName, err)
	// Output:
	// true AccessDeniedException
	// mine <nil>
}
