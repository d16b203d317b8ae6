package esdk

import (
	"os"
	"testing"
)

// service is a key of a service that speaks AWS KMS.
type service struct {
	name string
	args []string
}

// keyServices are those that the environment names, and our own.
func keyServices(t *testing.T) []service {
	t.Helper()
	var out []service
	if url, arn := os.Getenv("CLOISTER_KMS_ENDPOINT"), os.Getenv("CLOISTER_KMS_KEY"); url != "" && arn != "" {
		out = append(out, service{"another KMS", []string{"--kms-endpoint", url, "--kms-key", arn}})
	} else {
		t.Log("CLOISTER_KMS_ENDPOINT and CLOISTER_KMS_KEY name no key of another server that speaks KMS")
	}
	return out
}
