package main

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/audit"
)

// Whoever has no access key cannot fill the log; it says who knocked and how
// often, and everything about those who have one.
func TestKMSFlood(t *testing.T) {
	t.Parallel()
	url, dir, stop := serveKMS(t)
	const many, calls = 2000, 20
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range many / 8 {
				r, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-amz-json-1.1")
				r.Header.Set("X-Amz-Target", "TrentService.\"\u00ff"+strings.Repeat("x", 2000))
				if i%2 == 0 {
					r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID\"x/"+strings.Repeat("y", 2000))
				}
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				if resp.Body.Close(); resp.StatusCode != 400 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	wg.Go(func() {
		user := kmsClient(url, "user")
		for range calls {
			if _, err := user.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)}); err == nil {
				t.Error("a caller without rights was served")
			}
			// Not a call: the server has no such member.
			if _, err := user.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x"), Recipient: &types.RecipientInfo{}}); err == nil {
				t.Error("a member that is not supported was passed over")
			}
		}
	})
	wg.Wait()
	most := (strangers + 1) * (int(time.Since(began)/time.Second) + 2)
	stop()
	records, counted, signed, mine := 0, 0, 0, 0
	for e, err := range audit.Read(filepath.Join(dir, "store", "audit")) {
		if err != nil {
			t.Fatal(err)
		}
		d := e.Detail
		switch {
		case e.Kind == "kms.generaterandom":
			mine++
		case e.Kind != "kms.request":
		case d["principal"] != "":
			signed++
			if d["principal"] != strconv.Quote(kmsAccount+"user/user") || d["access_key"] != strconv.Quote("AKIDUSER") || d["target"] != strconv.Quote("TrentService.Decrypt") {
				t.Errorf("a signed refusal: %v", d)
			}
		case d["count"] != "":
			records++
			n, err := strconv.Unquote(d["count"])
			if err != nil {
				t.Fatal(err)
			}
			more, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			counted += more
		default:
			records++
			counted++
			if !strings.HasPrefix(d["remote"], `"127.0.0.1:`) || !strings.HasPrefix(d["target"], `"TrentService.\"`) || len(d["target"]) > 600 || d["request"] == "" || d["error"] == "" ||
				d["access_key"] != "" && d["access_key"] != strconv.Quote(`AKID"x`) {
				t.Errorf("a stranger's refusal: %v", d)
			}
		}
	}
	if counted != many || records > most {
		t.Errorf("%d records tell of %d refusals, not at most %d of %d", records, counted, most, many)
	}
	if signed != calls || mine != calls {
		t.Errorf("%d calls and %d refusals of a caller were recorded, not %d of each", mine, signed, calls)
	}
}
