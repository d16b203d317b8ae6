package localkms_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// pageCondition is the condition of a key policy on the page about encryption
// contexts.
func pageCondition(t *testing.T) map[string]map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "doc", "patterns", "encryption-context.md"))
	must(t, err)
	_, rest, ok := strings.Cut(string(b), `    "Condition": {`)
	text, _, ok2 := strings.Cut(rest, "\n    }\n")
	if !ok || !ok2 {
		t.Fatal("the page has no condition")
	}
	var in map[string]map[string]any
	must(t, json.Unmarshal([]byte("{"+text+"}"), &in))
	out := map[string]map[string][]string{}
	for operator, keys := range in {
		out[operator] = map[string][]string{}
		for k, v := range keys {
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, s := range list {
				out[operator][k] = append(out[operator][k], s.(string))
			}
		}
	}
	return out
}

// The key policy on the page permits one tenant's context and no other, and has
// no line that could go.
func TestPolicyOfThePage(t *testing.T) {
	t.Parallel()
	page := pageCondition(t)
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "acme"})
	must(t, err)
	if want, err := ec.PolicyCondition(); err != nil || !reflect.DeepEqual(page, want) {
		t.Errorf("the page says %v, and PolicyCondition %v, %v", page, want, err)
	}
	others := map[string]map[string]string{
		"another tenant": {"tenant": "globex"}, "no context": nil, "the value's case": {"tenant": "Acme"}, "the key's case": {"Tenant": "acme"},
		"another key": {"owner": "acme"}, "a pair more": {"tenant": "acme", "kind": "token"},
	}
	// permitted says which contexts alice may name under a condition.
	permitted := func(condition map[string]map[string][]string) (out []string) {
		s := service(t, t.TempDir(), nil)
		key := createKey(t, s)
		text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{
			map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": account + "root"}, "Action": "kms:*", "Resource": "*"},
			map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": alice.ARN}, "Action": "kms:Decrypt", "Resource": "*", "Condition": condition},
		}})
		must(t, err)
		_, err = s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: string(text)})
		must(t, err)
		all := maps.Clone(others)
		all["the control"] = map[string]string{"tenant": "acme"}
		for name, pairs := range all {
			switch err := decrypts(s, alice, encrypt(t, s, key, pairs), pairs); {
			case err == nil:
				out = append(out, name)
			case !errors.Is(err, localkms.ErrNotAuthorized):
				t.Errorf("%s: %v", name, err)
			}
		}
		return out
	}
	if got := permitted(page); len(got) != 1 || got[0] != "the control" {
		t.Errorf("the page's policy permits %v", got)
	}
	for operator := range page {
		less := maps.Clone(page)
		delete(less, operator)
		if got := permitted(less); len(got) < 2 {
			t.Errorf("%s adds nothing: without it %v is permitted", operator, got)
		}
	}
}
