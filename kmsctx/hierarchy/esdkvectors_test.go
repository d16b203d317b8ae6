package hierarchy_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// The branch key of the published messages, from the test that reads them:
// modules/decrypt-node/test/compatibility.test.ts of the SDK for JavaScript.
const (
	publishedID      = "bd3842ff-3076-4092-9918-4395730050b8"
	publishedVersion = "e9ce18a3-edb5-4272-9f86-1cacb7997ff6"
	publishedKey     = "tJwf65epYvUt5HMiQsl/6jlvLxS0tgdjIuvFy2BLIwg="
)

// publishedFixtures is what follows a function's name in the file of messages;
// doc/esdk-vectors.md says where it comes from.
func publishedFixtures(t *testing.T, function string) string {
	t.Helper()
	dir := os.Getenv("CLOISTER_ESDK_VECTORS")
	if dir == "" {
		t.Skip("CLOISTER_ESDK_VECTORS does not name a folder with the AWS Encryption SDK's vectors")
	}
	b, err := os.ReadFile(filepath.Join(dir, "fixtures.ts"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no fixtures.ts in CLOISTER_ESDK_VECTORS")
	} else if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(b), "export function "+function+"()")
	if !ok {
		t.Fatalf("fixtures.ts has no %s", function)
	}
	return part
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// putPublished puts a version of a branch key into the table, wrapped by the
// world's KMS as an Admin would have had it wrapped.
func putPublished(t *testing.T, w *world, key []byte) {
	t.Helper()
	item := map[string]string{"branch-key-id": publishedID, "type": "branch:version:" + publishedVersion,
		"create-time": "2025-01-09T00:00:00.000000Z", "kms-arn": w.place.Key, "hierarchy-version": "1", "tablename": w.place.Name}
	out, err := w.keys.svc.Encrypt(t.Context(), account, &localkms.EncryptInput{KeyID: w.place.Key, Plaintext: key, EncryptionContext: item})
	if err != nil {
		t.Fatal(err)
	}
	delete(item, "tablename")
	kept := map[string]ddb.AttributeValue{"enc": &ddb.AttributeValueMemberB{Value: out.CiphertextBlob}}
	for k, v := range item {
		kept[k] = &ddb.AttributeValueMemberS{Value: v}
	}
	kept["hierarchy-version"] = &ddb.AttributeValueMemberN{Value: "1"}
	w.table.items[[2]string{publishedID, item["type"]}] = kept
}

var quotedField = regexp.MustCompile(`(?m)^ *'?([a-zA-Z0-9-]+)'?:\s*'([^']*)'`)

// The messages that the official SDKs for Python and JavaScript wrote with a
// branch key open with it, and with no other.
func TestPublishedMessages(t *testing.T) {
	t.Parallel()
	var messages []map[string]string
	for _, m := range quotedField.FindAllStringSubmatch(publishedFixtures(t, "hierarchicalKeyringCompatibilityVectors"), -1) {
		if m[1] == "ciphertext" {
			messages = append(messages, map[string]string{})
		}
		if n := len(messages); n > 0 {
			messages[n-1][m[1]] = m[2]
		}
	}
	right, wrong := testWorld(t), testWorld(t)
	key := unbase64(t, publishedKey)
	putPublished(t, right, key)
	putPublished(t, wrong, append(bytes.Clone(key[:31]), key[31]^1))
	none, err := kmsctx.ForeignContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(w *world, branch string, m []byte, ec kmsctx.Context) ([]byte, error) {
		e, err := kmsctx.New(ring(t, w.store, always(branch), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		return e.Open(t.Context(), nil, m, ec)
	}
	suites := map[byte]int{}
	for _, v := range messages {
		m, want := unbase64(t, v["ciphertext"]), unbase64(t, v["plaintextBase64"])
		suites[m[1]]++
		if got, err := open(wrong, publishedID, m, none); !errors.Is(err, kmsctx.ErrInvalidCiphertext) || got != nil {
			t.Errorf("%s, another branch key: %v", v["comment"], err)
		}
		if got, err := open(right, "tn-other", m, none); !errors.Is(err, kmsctx.ErrNoMatchingKey) || got != nil {
			t.Errorf("%s, another branch key's ID: %v", v["comment"], err)
		}
		if got, err := open(right, publishedID, m, of(t, "tn-1")); !errors.Is(err, kmsctx.ErrContextMismatch) || got != nil {
			t.Errorf("%s, a context that it lacks: %v", v["comment"], err)
		}
		if got, err := open(right, publishedID, m, none); err != nil || len(want) == 0 || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", v["comment"], len(got), err)
		}
	}
	if suites[4] != 2 || suites[5] != 2 || len(messages) != 4 {
		t.Errorf("%d messages, by suite %v; want two of each", len(messages), suites)
	}
}

// One message's branch key is in AWS's account: what can be seen without it is
// that the header is read, with pairs whose order differs between UTF-8 and
// UTF-16, and that it is refused.
func TestPublishedMessageWithoutItsKey(t *testing.T) {
	t.Parallel()
	text := regexp.MustCompile(`'([A-Za-z0-9+/=]+)'`).FindStringSubmatch(publishedFixtures(t, "hierarchyMessageWithHighUtf8CodePoints"))
	if text == nil {
		t.Fatal("no message")
	}
	m := unbase64(t, text[1])
	u, err := kmsctx.InspectUnverified(m)
	if err != nil {
		t.Fatal(err)
	}
	const id = "6e1f5edc-9a70-4a8e-adfb-37aeefdea9e6"
	if len(u.Keys) != 1 || u.Keys[0].Provider != hierarchy.Provider || string(u.Keys[0].Info) != id || u.Context["\u00b6"] != "\U00013269" {
		t.Errorf("read as %+v", u)
	}
	ec, err := kmsctx.ForeignContext(map[string]string{"\u00b6": "\U00013269"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := kmsctx.New(ring(t, testWorld(t).store, always(id), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Open(t.Context(), nil, m, ec); !errors.Is(err, kmsctx.ErrKeyNotFound) || got != nil {
		t.Errorf("opened without its branch key, or refused for another reason: %v", err)
	}
}
