package hierarchy

import (
	"encoding/hex"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Key, fixed input, output: the vectors of counter mode that the official
// implementations test with, which are NIST's.
var counterVectors = [][3]string{
	{"e204d6d466aad507ffaf6d6dab0a5b26152c9e21e764370464e360c8fbc765c6",
		"7b03b98d9f94b899e591f3ef264b71b193fba7043c7e953cde23bc5384bc1a6293580115fae3495fd845dadbd02bd6455cf48d0f62b33e62364a3a80",
		"770dfab6a6a4a4bee0257ff335213f78d8287b4fd537d5c1fffa956910e7c779"},
	{"aeeeca60f689a441b13b0cbcd441d82df0cf87dac236290dece8931df8d70317",
		"588ec041e5733b7031212c5538efe4f6aafa4cda8b925d261f5a2688f007b3ac240ee12991e77b8cb8538678615966164a81872bd1cfcbfb39a4f450",
		"3e81d6113cee3c529ecedff89a6999ce25b618c15ee1d19d45cb376a1c8e2374"},
	{"95c8f76e11367eb55526a2b393ae906583d1cbdd47962146f506cc7cac12f464",
		"cad60e904b9e9c8bfeb4a81a7f67d3bddcc05e64255870403770f3533ae6dd634ceaa56c53e688bd137ae6018935f34b9fb084ea48e4c688f6bbb388",
		"cafa5ca03f5fbe2a242004abcbd3de1059c7407b1ee579255124af189be0b556"},
	{"4d05391fd6fb1e292e78ab9619b1b72a7d63ee59d7435dd71897b9ff7ee7ae70",
		"f078e6f9b7f82d64554fa6b604c808f19b1f6ad6727db7aa6f1c86694e104b5256c8b4039919646481d7ea2452c72c17a3e8d7d3916285460aa5eb81",
		"6b16e8f53b831aa5e86bf97a5c4fa37d089bc172da5a1e7f662dd4a595339ab7"},
	{"0f68a82ff1671634cc9136c564a9e02a767621dd74a1bf5c24129b808214b752",
		"648599809c2c4e7c6a5e6c449f0031ebf55c3661a895b44db0572ee88083b1f4b12602aa55fc1df150a65a6d6eeda0aa79a434a1039b91b5a58fc7f1",
		"e297640f7768485d4a6e7cfe245f8bfa84700d99762692ea1a425ccc0275e8f5"},
}

// Branch key, salt, wrapping key: those with the label of this keyring.
var labelVectors = [][3]string{
	{"7dc9bdfc2534047cfe63e9eb297b77525149ed7d4afce9c6440f350e61ef3ed0", "77dae93e689b581d3e06eb01c8d3ba02",
		"bce898725589aec08f9834b3b80fdc3ff173907e5574e729fdce127cf76db7cc"},
	{"5016711776440a204ba9c7c0ffdcd63cb6017e93abe96eb12391d9811e09509f", "d2f1c09e67421b238f42a8bd52abd3fc",
		"36ceae48ed85559c5d357898765259217262ccec8a39a276555cc7e8f0fc5c61"},
	{"395a102e5336bdf11bf2edecf64236e24a704f9cd00d944775d38b3949457aec", "330fb77c52e5f9567594eda21bf3ad6c",
		"1637ec8d9fa3faec562fe1679ce1e492a62df42788a3cdc874c1149370fed2c2"},
	{"98c019dfef9aaf43edfab892e4f3e30180f7e4988e8395293c46f43aa6ea56bd", "f3a0667fdb897326bbd8305097a89447",
		"bf7056eadce97a9a64bce6eeef9b3620612333a079eb2a4091690f99a259099c"},
	{"a6ec74338cbdc0af2a9a331ad0954c9faea2cf046ce8c4f00c39e49b614b2a42", "eca9e92d2b197af398bf9a372d869fdc",
		"9c0b14fb64e3a3a11e2df202f8f62c0b5884bdaf5f603d2c62a0d4888cde3997"},
}

func TestCounterKDF(t *testing.T) {
	t.Parallel()
	for _, v := range counterVectors {
		if got := hex.EncodeToString(counterKDF(unhex(t, v[0]), unhex(t, v[1]))); got != v[2] {
			t.Errorf("%s: %s", v[0], got)
		}
	}
	for _, v := range labelVectors {
		var salt [saltLen]byte
		copy(salt[:], unhex(t, v[1]))
		if got := hex.EncodeToString(wrappingKey(unhex(t, v[0]), salt)); got != v[2] {
			t.Errorf("%s: %s", v[0], got)
		}
	}
}

// A record of known parts: everything that it is bound to is needed to open it.
func TestRecordIsBound(t *testing.T) {
	t.Parallel()
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "tn-1"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := kmsctx.NewContext(map[string]string{"tenant": "tn-2"})
	if err != nil {
		t.Fatal(err)
	}
	key, plain, v := make([]byte, branchKeyLen), make([]byte, kmsctx.DataKeyLen), newVersion()
	plain[3] = 7
	b, err := wrap(key, "branch", v, ec, plain)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := parseRecord(b)
	if !ok || r.version != v || len(b) != 92 {
		t.Fatalf("%d bytes, %v", len(b), r.version)
	}
	moved := r
	moved.version = newVersion()
	salted := r
	salted.salt[0] ^= 1
	wrong := make([]byte, branchKeyLen)
	wrong[31] = 1
	for name, f := range map[string]func() ([]byte, error){
		"branch key ID": func() ([]byte, error) { return unwrap(key, "brancH", r, ec) },
		"context":       func() ([]byte, error) { return unwrap(key, "branch", r, other) },
		"version":       func() ([]byte, error) { return unwrap(key, "branch", moved, ec) },
		"salt":          func() ([]byte, error) { return unwrap(key, "branch", salted, ec) },
		"branch key":    func() ([]byte, error) { return unwrap(wrong, "branch", r, ec) },
	} {
		if got, err := f(); err == nil || got != nil {
			t.Errorf("opens under another %s", name)
		}
	}
	if got, err := unwrap(key, "branch", r, ec); err != nil || string(got) != string(plain) {
		t.Errorf("control: %v", err)
	}
}
