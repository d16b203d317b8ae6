package tenant_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

func TestParseIsStrict(t *testing.T) {
	id := tenant.NewID()
	s := id.String()
	if got, err := tenant.ParseID(s); err != nil || got != id {
		t.Fatal(got, err)
	}
	spare := s[:len(s)-1] + map[bool]string{true: "1", false: "2"}[s[len(s)-1] == '0']
	for name, bad := range map[string]string{
		"empty": "", "prefix only": "tn-", "upper case": strings.ToUpper(s), "other kind": tenant.NewUserID().String(),
		"one short": s[:len(s)-1], "one long": s + "0", "space": " " + s, "newline": s + "\n", "excluded letter": s[:10] + "u" + s[11:],
		"spare bits": spare, "zero": tenant.ID{}.String(), "slash": s[:10] + "/" + s[11:],
	} {
		_, err := tenant.ParseID(bad)
		if !errors.Is(err, tenant.ErrBadID) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(bad) > 4 && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: the error repeats the text", name)
		}
	}
}

func TestZeroIDDoesNotMarshal(t *testing.T) {
	if _, err := json.Marshal(struct{ T tenant.ID }{}); !errors.Is(err, tenant.ErrZeroID) {
		t.Error(err)
	}
	b, err := json.Marshal(map[tenant.ID]int{tenant.NewID(): 1})
	if err != nil || !strings.Contains(string(b), "tn-") {
		t.Errorf("%s, %v", b, err)
	}
}

func TestTextIsHarmlessEverywhere(t *testing.T) {
	const raw = "<script>\x1b[31m\u202e\u2028'\"\\\U0001F600"
	x, err := tenant.NewText(raw, 100)
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ name tenant.Text }{x}
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(x), fmt.Sprintf("%v %+v %#v %s %q %x", x, x, x, x, x, x), fmt.Sprintf("%+v", holder), fmt.Sprintf("%#v", holder), string(b), x.LogValue().String()} {
		for _, r := range s {
			if r < 0x20 || r > 0x7e {
				t.Errorf("%q holds %U", s, r)
			}
		}
	}
	if strings.ContainsAny(string(b), "<>&'") {
		t.Errorf("markup in JSON: %s", b)
	}
	var back tenant.Text
	if err := json.Unmarshal(b, &back); err != nil || !back.Equal(x) || back.Reveal("compare") != raw {
		t.Error("the text did not survive JSON", err)
	}
	for name, bad := range map[string]string{"long": strings.Repeat("x", 101), "not UTF-8": "\xff"} {
		if _, err := tenant.NewText(bad, 100); !errors.Is(err, tenant.ErrBadText) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := tenant.NewSecret([]byte("hunter2"))
	out := fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s) + fmt.Sprintf("%+v", struct{ s tenant.Secret }{s})
	if strings.Contains(out, "hunter2") || strings.Contains(out, "68756e74") {
		t.Error(out)
	}
	if _, err := json.Marshal(s); err == nil {
		t.Error("a secret marshals")
	}
	if !s.Equal([]byte("hunter2")) || s.Equal([]byte("hunter3")) {
		t.Error("comparison")
	}
	var kept []byte
	if err := s.Use(func(b []byte) error { kept = b; return nil }); err != nil {
		t.Fatal(err)
	}
	s.Destroy()
	s.Destroy()
	if string(kept) != strings.Repeat("\x00", 7) {
		t.Errorf("after Destroy the bytes are %q", kept)
	}
	for _, dead := range []tenant.Secret{s, {}} {
		if err := dead.Use(func([]byte) error { return nil }); !errors.Is(err, tenant.ErrDestroyed) {
			t.Error(err)
		}
		if dead.Equal(nil) || dead.Equal([]byte("hunter2")) {
			t.Error("a dead secret equals something")
		}
	}
}

func TestCaller(t *testing.T) {
	now := time.Now()
	if _, err := tenant.VerifiedCaller(tenant.NewID(), tenant.NewUserID(), tenant.MethodSigV4, now); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]func() (tenant.Caller, error){
		"no tenant": func() (tenant.Caller, error) {
			return tenant.VerifiedCaller(tenant.ID{}, tenant.NewUserID(), tenant.MethodSigV4, now)
		},
		"no user": func() (tenant.Caller, error) {
			return tenant.VerifiedCaller(tenant.NewID(), tenant.UserID{}, tenant.MethodSigV4, now)
		},
		"no method": func() (tenant.Caller, error) {
			return tenant.VerifiedCaller(tenant.NewID(), tenant.NewUserID(), "", now)
		},
		"no time": func() (tenant.Caller, error) {
			return tenant.VerifiedCaller(tenant.NewID(), tenant.NewUserID(), tenant.MethodSigV4, time.Time{})
		},
	} {
		if c, err := f(); err == nil || !c.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseCustomizationID(f *testing.F) {
	f.Add(tenant.NewCustomizationID().String())
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := tenant.ParseCustomizationID(s); err == nil && id.String() != s {
			t.Errorf("%q is read as %q", s, id)
		}
	})
}

func ExampleParseID() {
	_, err := tenant.ParseID("../../etc/passwd")
	fmt.Println(errors.Is(err, tenant.ErrBadID))
	id, err := tenant.ParseID("tn-00000000000000000000000001")
	fmt.Println(err != nil || id.IsZero())
	id = tenant.NewID()
	back, err := tenant.ParseID(id.String())
	fmt.Println(back == id, err)
	// Output:
	// true
	// true
	// true <nil>
}
