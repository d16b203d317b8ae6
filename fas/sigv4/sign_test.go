package sigv4_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// A signature that everybody would refuse is not made; the refusal says what is
// missing, and the request stays as it was.
func TestCredentialsWithoutAPart(t *testing.T) {
	t.Parallel()
	whole := sigv4.Credentials{AccessKeyID: "AKID", Secret: tenant.NewSecret([]byte("secret")), Region: "us-east-1", Service: "s"}
	for part, change := range map[string]func(*sigv4.Credentials){
		"access key ID": func(c *sigv4.Credentials) { c.AccessKeyID = "" },
		"region":        func(c *sigv4.Credentials) { c.Region = "" },
		"service":       func(c *sigv4.Credentials) { c.Service = "" },
	} {
		c := whole
		change(&c)
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "x", Path: "/"}}
		for name, err := range map[string]error{"SignRequest": sigv4.SignRequest(r, nil, c, time.Now()), "Presign": sigv4.Presign(r, nil, c, time.Now(), time.Minute)} {
			if !errors.Is(err, sigv4.ErrConfig) || !strings.Contains(err.Error(), part) {
				t.Errorf("%s without %s: %v", name, part, err)
			}
		}
		if len(r.Header) > 0 || r.URL.RawQuery != "" {
			t.Errorf("without %s the request was changed: %v", part, r)
		}
		client := http.Client{Transport: &sigv4.Transport{AccessKeyID: c.AccessKeyID, Secret: c.Secret, Region: c.Region, Service: c.Service}}
		if _, err := client.Get("http://127.0.0.1:1/"); !errors.Is(err, sigv4.ErrConfig) {
			t.Errorf("Transport without %s: %v", part, err)
		}
	}
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "x", Path: "/"}}
	if err := sigv4.SignRequest(r, nil, whole, time.Now()); err != nil || r.Header.Get("Authorization") == "" {
		t.Errorf("a request without headers: %v", err)
	}
	many := whole
	many.Region, many.RegionSet = "", "*"
	if err := sigv4.SignRequest(r, nil, many, time.Now()); err != nil {
		t.Errorf("a set of regions: %v", err)
	}
}
