package profile_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/profile"
)

// ringText is a keyring of one key of each sort.
func ringText(t testing.TB) string {
	t.Helper()
	return "# who approves\n\nservice ed25519 " + base64.StdEncoding.EncodeToString(public("service")) + "\n" +
		"security\t" + newSigner(t, "sk-ssh-ed25519@openssh.com", "security").text() + " alice@example.org, at her desk\n" +
		"security " + newSigner(t, "sk-ecdsa-sha2-nistp256@openssh.com", "").text() + "\r\n" +
		"  identity " + newSigner(t, "ecdsa-sha2-nistp256", "").text()
}

func TestParseKeyringRefuses(t *testing.T) {
	t.Parallel()
	good := ringText(t)
	rsa := base64.StdEncoding.EncodeToString(join([]byte("ssh-rsa"), []byte{1, 0, 1}, bytes.Repeat([]byte{7}, 256)))
	p384 := base64.StdEncoding.EncodeToString(join([]byte("ecdsa-sha2-nistp384"), []byte("nistp384"), bytes.Repeat([]byte{4}, 97)))
	soft, hard := newSigner(t, "ssh-ed25519", "security"), newSigner(t, "sk-ssh-ed25519@openssh.com", "security")
	for name, text := range map[string]string{
		"nothing":                          "",
		"a role without keys":              "service " + key("service").String() + "\nsecurity " + key("security").String(),
		"an unknown role":                  good + "\nfriend " + key("friend").String(),
		"a role in another case":           strings.Replace(good, "identity", "Identity", 1),
		"two principals":                   strings.Replace(good, "service ", "service,identity ", 1),
		"every principal":                  strings.Replace(good, "service ", "* ", 1),
		"an option of allowed_signers":     strings.Replace(good, "  identity ", "identity valid-after=\"20260101\" ", 1),
		"a role alone":                     good + "\nservice",
		"a type alone":                     good + "\nservice ssh-ed25519",
		"a private key":                    good + "\n-----BEGIN OPENSSH PRIVATE KEY-----",
		"one key in two roles":             good + "\nidentity " + key("service").String(),
		"one key twice in a role":          good + "\nservice " + key("service").String(),
		"one key, bare and in hardware":    good + "\nservice " + soft.text(),
		"an RSA key":                       good + "\nservice ssh-rsa " + rsa,
		"P-384":                            good + "\nservice ecdsa-sha2-nistp384 " + p384,
		"a key under another name":         good + "\nservice ssh-ed25519 " + strings.Fields(hard.text())[1],
		"31 bytes":                         good + "\nservice ed25519 " + base64.StdEncoding.EncodeToString(public("x")[:31]),
		"padding left out":                 good + "\nservice ed25519 " + base64.RawStdEncoding.EncodeToString(public("x")),
		"more than an envelope":            good + "\n#" + strings.Repeat("x", profile.MaxSize),
		"a byte after the key":             good + "\nservice ssh-ed25519 " + base64.StdEncoding.EncodeToString(append(newSigner(t, "ssh-ed25519", "x").blob(), 0)),
		"a point that is not on a curve":   good + "\nservice ecdsa-sha2-nistp256 " + base64.StdEncoding.EncodeToString(join([]byte("ecdsa-sha2-nistp256"), []byte("nistp256"), append([]byte{4}, make([]byte, 64)...))),
		"a curve of another name":          good + "\nservice ecdsa-sha2-nistp256 " + base64.StdEncoding.EncodeToString(join([]byte("ecdsa-sha2-nistp256"), []byte("nistp384"), point(t))),
		"seventeen keys":                   good + seventeen(),
		"a key for which anybody can sign": good + "\nservice ed25519 " + base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 31)...)),
	} {
		if k, err := profile.ParseKeyring([]byte(text)); !errors.Is(err, profile.ErrKeyring) || k != nil {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	k, err := profile.ParseKeyring([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if len(k[profile.Service]) != 1 || k[profile.Service][0] != key("service") || len(k[profile.Security]) != 2 || len(k[profile.Identity]) != 1 {
		t.Errorf("%v", k)
	}
	if _, err := profile.ParseKeyring([]byte(good + "\nservice " + key("next").String())); err != nil {
		t.Errorf("the next key of a role: %v", err)
	}
}

func point(t testing.TB) []byte {
	b := newSigner(t, "ecdsa-sha2-nistp256", "").blob()
	return b[len(b)-65:]
}

func seventeen() string {
	var b strings.Builder
	for i := range 16 {
		fmt.Fprintf(&b, "\nservice %s", key(fmt.Sprintf("service %d", i)))
	}
	return b.String()
}

func TestKeyringErrorsNameTheLineAndNoKeyMaterial(t *testing.T) {
	t.Parallel()
	_, err := profile.ParseKeyring([]byte("# one\nservice ed25519 c2VjcmV0"))
	if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Error(err)
	}
	_, err = profile.ParseKeyring([]byte(keyring().String() + "identity " + key("security").String()))
	if err == nil || !strings.Contains(err.Error(), `roles "security" and "identity" have the same key SHA256:`) {
		t.Error(err)
	}
}

// For each of these keys somebody who holds no secret can sign; the forger of
// the test shows that the refusal is not for nothing.
func TestWeakKeysAreRefused(t *testing.T) {
	t.Parallel()
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1 // R is the identity, S is zero
	forgeable := func(k ed25519.PublicKey) bool {
		for i := range 256 {
			if ed25519.Verify(k, []byte{byte(i)}, forged) {
				return true
			}
		}
		return false
	}
	ff := strings.Repeat("ff", 30)
	for _, text := range []string{
		strings.Repeat("00", 32), "01" + strings.Repeat("00", 31), "ec" + ff + "7f", "ed" + ff + "7f", "ee" + ff + "7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, sign := range []byte{0, 0x80} {
			k := ed25519.PublicKey(bytes.Clone(b))
			k[31] |= sign
			if got, err := profile.Ed25519(k); !errors.Is(err, profile.ErrKeyring) || got != (profile.Key{}) {
				t.Errorf("%x: %v, %v", k, got, err)
			}
			if sign == 0 && !forgeable(k) {
				t.Errorf("%x: the forger failed", k)
			}
		}
	}
	if forgeable(public("service")) {
		t.Error("the forger forges everything")
	}
}

func TestKeyForms(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		k := newSigner(t, kind, "x").key(t)
		again, err := profile.ParseKey(k.String() + " a comment of words")
		if err != nil || again != k || !strings.HasPrefix(k.ID(), "SHA256:") || len(k.ID()) != 50 {
			t.Errorf("%s: %v, %v, %s", kind, again, err, k.ID())
		}
	}
	b, err := json.Marshal(keyring())
	if err != nil {
		t.Fatal(err)
	}
	var ring profile.Keyring
	if err := json.Unmarshal(b, &ring); err != nil || !reflect.DeepEqual(ring, keyring()) {
		t.Errorf("%v, %v", ring, err)
	}
	if _, err := json.Marshal(profile.Keyring{profile.Service: {{}}}); !errors.Is(err, profile.ErrKeyring) {
		t.Errorf("the zero key was written: %v", err)
	}
	if err := json.Unmarshal([]byte(`{"service":["ssh-rsa AAAA"]}`), &ring); !errors.Is(err, profile.ErrKeyring) {
		t.Errorf("%v", err)
	}
}

func TestChangeOfKeys(t *testing.T) {
	t.Parallel()
	ring := keyring()
	ring[profile.Security] = append(ring[profile.Security], key("next"))
	for _, names := range [][]string{{"service", "next"}, {"service", "security", "next"}, {"service", "next", "identity"}, {"service", "security", "identity"}} {
		env := signed(t, unsigned(t, ordinary()), names...)
		v, err := profile.Load(env, ring, now)
		if want := slices.Contains(names, "identity"); (err == nil) != want || (v != nil) != want || !want && !errors.Is(err, profile.ErrUnapproved) {
			t.Errorf("%q: %v", names, err)
		}
	}
	// Two keys of one team are one team.
	ring[profile.Security] = ring[profile.Security][1:]
	refused(t, approved(t, ordinary()), ring, now, profile.ErrUnapproved)
}

func FuzzParseKeyring(f *testing.F) {
	f.Add([]byte(ringText(f)))
	f.Add([]byte(keyring().String()))
	f.Add([]byte("service ssh-ed25519 AAAA"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := profile.ParseKeyring(b)
		if err != nil {
			if k != nil || !errors.Is(err, profile.ErrKeyring) {
				t.Fatalf("%v, %v", k, err)
			}
			return
		}
		again, err := profile.ParseKeyring([]byte(k.String()))
		if err != nil || !reflect.DeepEqual(k, again) {
			t.Fatalf("%v is written as %v, %v", k, again, err)
		}
		seen := map[profile.Key]bool{}
		for _, keys := range k {
			for _, key := range keys {
				if seen[key] {
					t.Fatalf("%s twice", key)
				}
				seen[key] = true
			}
		}
		if len(k) != 3 {
			t.Fatalf("%d roles", len(k))
		}
	})
}
