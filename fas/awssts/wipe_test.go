package awssts_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/tenant"
)

// behind sees what stands in the buffer behind what it is given.
type behind struct{ b []byte }

func (l *behind) Write(p []byte) (int, error) {
	l.b = bytes.Clone(p[:cap(p)])
	return len(p), nil
}

// The buffers that encoding/json keeps for whoever encodes next, which nobody
// can wipe, have held no secret of a caller.
func TestSecretsStayOutOfTheBuffersOfJSON(t *testing.T) {
	runtime.LockOSThread() // the buffers are a thread's
	defer runtime.UnlockOSThread()
	o, _ := opener(t)
	secret := bytes.Repeat([]byte("secret of a caller"), 10)
	wire, other := base64.StdEncoding.EncodeToString(secret)[20:100], strings.Repeat("of nobody", 10)
	look := &behind{}
	found := func(s string) bool {
		if err := json.NewEncoder(look).Encode(0); err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(look.b, []byte(s))
	}
	seen := false
	for range 100 {
		k := awssts.CallerKeys{AccessKeyID: "ASIACALLER", Secret: tenant.NewSecret(bytes.Clone(secret)), Token: "a token", Expires: time.Now().Add(time.Minute)}
		sealed, err := awssts.Seal(o.Key(), digest, k)
		if err != nil {
			t.Fatal(err)
		}
		if found(wire) {
			t.Fatal("sealing left the secret behind")
		}
		got, err := o.Open(sealed, digest)
		if err != nil || !got.Secret.Equal(secret) {
			t.Fatal(err)
		}
		if found(wire) {
			t.Fatal("opening left the secret behind")
		}
		if _, err := json.Marshal(other); err != nil {
			t.Fatal(err)
		}
		seen = found(other[18:]) || seen
	}
	if !seen {
		t.Error("control: what is encoded is not found behind it")
	}
}

// The form of a sealed session is that of encoding/json, whatever stands in it:
// the two ends may be of different builds.
func TestSealedKeepsItsForm(t *testing.T) {
	t.Parallel()
	secret, end := []byte("a secret, of any bytes: \x00\xff"), time.Now().Add(time.Minute).Unix()
	for _, token := range []string{"FwoGZXIvYXdzEA+/=", `"<&>\`, "ü\u2028", "\x01"} {
		want, err := json.Marshal(struct {
			ID      string `json:"id"`
			Secret  []byte `json:"secret"`
			Token   string `json:"token"`
			Expires int64  `json:"expires"`
		}{"ASIACALLER", secret, token, end})
		if err != nil {
			t.Fatal(err)
		}
		k, err := awssts.ReadKeys(want)
		if err != nil || k.AccessKeyID != "ASIACALLER" || k.Token != token || k.Expires.Unix() != end || !k.Secret.Equal(secret) {
			t.Errorf("%q: %+v, %v", token, k, err)
		}
	}
}
