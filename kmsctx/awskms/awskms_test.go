package awskms_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/awskms"
)

const good = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	api := kms.New(kms.Options{})
	for name, key := range map[string]string{
		"nothing":     "",
		"an ID":       "1234abcd-12ab-34cd-56ef-1234567890ab",
		"an alias":    "alias/mine",
		"alias's ARN": "arn:aws:kms:eu-central-1:111122223333:alias/mine",
		"no account":  strings.Replace(good, "111122223333", "", 1),
		"no region":   strings.Replace(good, "eu-central-1", "", 1),
		"any region":  strings.Replace(good, "eu-central-1", "*", 1),
		"service":     strings.Replace(good, ":kms:", ":s3:", 1),
		"partition":   strings.Replace(good, "aws", "xyz", 1),
		"line":        good + "\n",
		"two keys":    good + "/" + good,
		"upper case":  strings.ToUpper(good),
	} {
		if r, err := awskms.New(api, key, nil); !errors.Is(err, kmsctx.ErrMalformed) || r != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := awskms.New(nil, good, nil); !errors.Is(err, kmsctx.ErrMalformed) || r != nil {
		t.Errorf("no client: %v", err)
	}
	for _, key := range []string{good, strings.Replace(good, "aws", "aws-us-gov", 1), strings.Replace(good, "key/", "key/mrk-", 1)} {
		if _, err := awskms.New(api, key, nil); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func ExampleNew() {
	client := kms.New(kms.Options{Region: "eu-central-1"})
	_, err := awskms.New(client, "alias/tenant-1", nil)
	fmt.Println(errors.Is(err, kmsctx.ErrMalformed)) // somebody could move the alias

	_, err = awskms.New(client, "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", nil)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}
