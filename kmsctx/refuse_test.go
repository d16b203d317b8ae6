package kmsctx_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

var classes = []error{kmsctx.ErrContextMismatch, kmsctx.ErrNoMatchingKey, kmsctx.ErrCommitment, kmsctx.ErrHeaderAuth, kmsctx.ErrFrameAuth,
	kmsctx.ErrSignature, kmsctx.ErrTruncated, kmsctx.ErrTrailing, kmsctx.ErrMalformed, kmsctx.ErrUnsupported, kmsctx.ErrLimit}

// classified demands one of this package's errors, as an *Error that names the
// operation, and no plaintext but whole verified frames before it.
func classified(t testing.TB, what string, got []byte, err error, plain []byte, frame int) {
	t.Helper()
	var e *kmsctx.Error
	if !errors.As(err, &e) || e.Op != "open" {
		t.Fatalf("%s: %v is no Error of open", what, err)
	}
	known := false
	for _, c := range classes {
		known = known || errors.Is(err, c)
	}
	if !known {
		t.Fatalf("%s: no class: %v", what, err)
	}
	if len(got)%frame != 0 || !bytes.HasPrefix(plain, got) || len(got) == len(plain) {
		t.Fatalf("%s: %d bytes of something came out", what, len(got))
	}
	if bytes.Contains([]byte(err.Error()), plain[:8]) {
		t.Fatalf("%s: the error holds plaintext", what)
	}
}

// twoFrames is a message of a full frame and a short one.
func twoFrames(t testing.TB, suite kmsctx.Suite) (e *kmsctx.Envelope, c kmsctx.Context, plain, m []byte) {
	t.Helper()
	e = envelope(t, 1, &kmsctx.Options{FrameLength: 32, Suite: suite, AllowUnframed: true})
	c = ec(t, "tenant", "a", "purpose", "test")
	plain = text(48)
	m, err := e.Seal(context.Background(), nil, plain, c)
	if err != nil {
		t.Fatal(err)
	}
	return e, c, plain, m
}

func TestEveryBitOfTwoFrames(t *testing.T) {
	t.Parallel()
	for _, suite := range []kmsctx.Suite{kmsctx.Committing, kmsctx.CommittingSigned} {
		e, c, plain, m := twoFrames(t, suite)
		for name, open := range openWays {
			if suite == kmsctx.CommittingSigned && name != "Open" && name != "Reader" {
				continue
			}
			bits := 8
			if suite == kmsctx.CommittingSigned && name != "Open" {
				bits = 1 // ECDSA takes its time
			}
			for i := range m {
				for bit := range bits {
					m[i] ^= 1 << bit
					got, err := open(e, m, c)
					m[i] ^= 1 << bit
					classified(t, fmt.Sprintf("%v, %s, byte %d, bit %d", suite, name, i, bit), got, err, plain, 32)
				}
			}
			if got, err := open(e, m, c); (err != nil || !bytes.Equal(got, plain)) && !(suite == kmsctx.CommittingSigned && name == "ReaderAt") {
				t.Fatalf("the control: %v", err)
			}
		}
	}
}

func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, suite := range []kmsctx.Suite{kmsctx.Committing, kmsctx.CommittingSigned} {
		e, c, plain, m := twoFrames(t, suite)
		for name, open := range openWays {
			if suite == kmsctx.CommittingSigned && name == "ReaderAt" {
				continue
			}
			for i := range m {
				got, err := open(e, m[:i], c)
				classified(t, fmt.Sprintf("%v, %s, cut at %d", suite, name, i), got, err, plain, 32)
				// A cut can make a random-access reader look at the wrong place
				// for the final frame; everywhere else it is seen for what it is.
				if !errors.Is(err, kmsctx.ErrTruncated) && !(name == "ReaderAt" && errors.Is(err, kmsctx.ErrFrameAuth)) {
					t.Errorf("%v, %s, cut at %d of %d: %v", suite, name, i, len(m), err)
				}
			}
			for _, more := range [][]byte{{0}, {0xff, 0xff, 0xff, 0xff}, make([]byte, 100), m} {
				got, err := open(e, append(bytes.Clone(m), more...), c)
				classified(t, name+", more", got, err, plain, 32)
				if !errors.Is(err, kmsctx.ErrTrailing) && name != "ReaderAt" {
					t.Errorf("%v, %s, %d bytes more: %v", suite, name, len(more), err)
				}
			}
		}
	}
}

func TestMutatedContexts(t *testing.T) {
	t.Parallel()
	pairs := map[string]string{"tenant": "tn-abcdefghij", "customization": "cus-0123456789", "purpose": "pages"}
	c := foreign(t, pairs)
	e := envelope(t, 1, nil)
	m, err := e.Seal(t.Context(), nil, []byte("x"), c)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	try := func(what string, m2 map[string]string) {
		w, err := kmsctx.ForeignContext(m2)
		if err != nil || w.Equal(c) {
			return
		}
		n++
		if got, err := e.Open(t.Context(), nil, m, w); !errors.Is(err, kmsctx.ErrContextMismatch) || got != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got, err := e.NewReader(t.Context(), bytes.NewReader(m), w); !errors.Is(err, kmsctx.ErrContextMismatch) || got != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for k, v := range pairs {
		with := func(k2, v2 string) map[string]string {
			out := c.Pairs()
			delete(out, k)
			out[k2] = v2
			return out
		}
		for i := range len(v) {
			for b := range 256 {
				try("a byte of a value", with(k, v[:i]+string(rune(b))+v[i+1:]))
			}
			try("a value cut", with(k, v[:i]))
		}
		for i := range len(k) {
			for bit := range 7 {
				try("a bit of a key", with(k[:i]+string([]byte{k[i] ^ 1<<bit})+k[i+1:], v))
			}
			try("a boundary", with(k[:i]+v[:1], k[i:]+v[1:]))
		}
		try("case", with(strings.ToUpper(k), v))
		try("case", with(k, strings.ToUpper(v)))
		try("space", with(k, v+" "))
		less := c.Pairs()
		delete(less, k)
		try("a pair less", less)
	}
	for i := range 300 {
		more := c.Pairs()
		more[fmt.Sprintf("extra-%d", i)] = ""
		try("a pair more", more)
	}
	try("none", nil)
	if n < 1000 {
		t.Fatalf("only %d mutations", n)
	}
	t.Logf("%d mutated contexts refused", n)
	if _, err := e.Open(t.Context(), nil, m, foreign(t, c.Pairs())); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// parts are a message's header, and its frames.
func parts(t testing.TB, m []byte, frame int) (head []byte, frames [][]byte) {
	t.Helper()
	u, err := kmsctx.InspectUnverified(m)
	if err != nil {
		t.Fatal(err)
	}
	head, m = m[:u.HeaderLength], m[u.HeaderLength:]
	for len(m) > frame+40 || binary.BigEndian.Uint32(m) != 0xffffffff {
		frames = append(frames, m[:frame+32])
		m = m[frame+32:]
	}
	return head, append(frames, m)
}

func glue(head []byte, frames ...[]byte) []byte {
	return append(bytes.Clone(head), bytes.Join(frames, nil)...)
}

// Two tenants, and two messages of one of them: no piece of one is good in
// another, whoever shares what.
func TestSplices(t *testing.T) {
	t.Parallel()
	a, b := ec(t, "tenant", "a"), ec(t, "tenant", "b")
	same := ring(t, 1)
	for name, other := range map[string]kmsctx.Keyring{"one key for both": same, "a key each": ring(t, 2)} {
		o := &kmsctx.Options{FrameLength: 32}
		ea, err1 := kmsctx.New(same, o)
		eb, err2 := kmsctx.New(other, o)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		plain := text(32*4 + 5)
		mine, err1 := ea.Seal(t.Context(), nil, plain, a)
		again, err2 := ea.Seal(t.Context(), nil, plain, a)
		theirs, err3 := eb.Seal(t.Context(), nil, plain, b)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		head, f := parts(t, mine, 32)
		for whose, m := range map[string][]byte{"another tenant's": theirs, "another message's": again} {
			head2, f2 := parts(t, m, 32)
			u, err1 := kmsctx.InspectUnverified(mine)
			u2, err2 := kmsctx.InspectUnverified(m)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			// The other's encrypted key in my header: both have the same form.
			record, record2 := u.Keys[0].Ciphertext, u2.Keys[0].Ciphertext
			keySwap := bytes.Replace(mine, record, record2, 1)
			keySwap = bytes.Replace(keySwap, u.Keys[0].Info, u2.Keys[0].Info, 1)
			commit := 5 + 32
			for what, c := range map[string]struct {
				m    []byte
				want []error
			}{
				"header":     {glue(head2, f...), []error{kmsctx.ErrContextMismatch, kmsctx.ErrFrameAuth}},
				"key":        {keySwap, []error{kmsctx.ErrNoMatchingKey, kmsctx.ErrCommitment}},
				"commitment": {glue(append(bytes.Clone(head[:len(head)-commit+1-12]), head2[len(head)-commit+1-12:]...), f...), []error{kmsctx.ErrCommitment, kmsctx.ErrHeaderAuth, kmsctx.ErrMalformed, kmsctx.ErrLimit}},
				"tag":        {glue(append(bytes.Clone(head[:len(head)-16]), head2[len(head2)-16:]...), f...), []error{kmsctx.ErrHeaderAuth}},
				"first":      {glue(head, f2[0], f[1], f[2], f[3], f[4]), []error{kmsctx.ErrFrameAuth}},
				"middle":     {glue(head, f[0], f[1], f2[2], f[3], f[4]), []error{kmsctx.ErrFrameAuth}},
				"final":      {glue(head, f[0], f[1], f[2], f[3], f2[4]), []error{kmsctx.ErrFrameAuth}},
				"body":       {glue(head, f2...), []error{kmsctx.ErrFrameAuth}},
			} {
				refusedBy(t, ea, a, plain, fmt.Sprintf("%s, %s %s", name, whose, what), c.m, c.want...)
			}
		}
		for what, m := range map[string][]byte{
			"two frames exchanged":    glue(head, f[0], f[2], f[1], f[3], f[4]),
			"a frame dropped":         glue(head, f[0], f[1], f[3], f[4]),
			"the first dropped":       glue(head, f[1], f[2], f[3], f[4]),
			"a frame twice":           glue(head, f[0], f[1], f[1], f[2], f[3], f[4]),
			"the final frame early":   glue(head, f[0], f[1], f[4]),
			"the final frame twice":   glue(head, f[0], f[1], f[2], f[3], f[4], f[4]),
			"the final frame missing": glue(head, f[0], f[1], f[2], f[3]),
			"the final frame alone":   glue(head, f[4]),
			"no frames":               head,
		} {
			refusedBy(t, ea, a, plain, name+", "+what, m, kmsctx.ErrFrameAuth, kmsctx.ErrTruncated, kmsctx.ErrTrailing)
		}
		// A middle frame that is renamed to the final one, and the final frame
		// that says it is longer than a frame.
		renamed := append([]byte{0xff, 0xff, 0xff, 0xff}, f[1][:16]...)
		renamed = append(append(renamed, 0, 0, 0, 32), f[1][16:]...)
		refusedBy(t, ea, a, plain, "a frame made final", glue(head, f[0], renamed), kmsctx.ErrFrameAuth)
		long := bytes.Clone(f[4])
		binary.BigEndian.PutUint32(long[20:], 33)
		refusedBy(t, ea, a, plain, "a final frame that is longer than a frame", glue(head, f[0], f[1], f[2], f[3], long), kmsctx.ErrFrameAuth)
		for m, e := range map[*[]byte]*kmsctx.Envelope{&mine: ea, &again: ea} {
			if got, err := e.Open(t.Context(), nil, *m, a); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("the control: %v", err)
			}
		}
		if got, err := eb.Open(t.Context(), nil, theirs, b); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("the control: %v", err)
		}
		// And whole, for the wrong reader.
		refusedBy(t, ea, a, plain, "a whole message of the other", theirs, kmsctx.ErrContextMismatch)
		if got, err := ea.Open(t.Context(), nil, theirs, b); name == "a key each" && (!errors.Is(err, kmsctx.ErrNoMatchingKey) || got != nil) {
			t.Errorf("the other's message with the other's context: %v", err)
		}
	}
}

func refusedBy(t testing.TB, e *kmsctx.Envelope, c kmsctx.Context, plain []byte, what string, m []byte, want ...error) {
	t.Helper()
	for name, open := range openWays {
		got, err := open(e, m, c)
		if name == "ReaderAt" && err == nil {
			t.Errorf("%s, %s: opened", what, name)
			continue
		}
		classified(t, what+", "+name, got, err, plain, 32)
		ok := false
		for _, w := range want {
			ok = ok || errors.Is(err, w)
		}
		if !ok && name != "ReaderAt" {
			t.Errorf("%s, %s: %v", what, name, err)
		}
	}
}

func TestBombs(t *testing.T) {
	t.Parallel()
	e, c, plain, m := twoFrames(t, kmsctx.Committing)
	u, err := kmsctx.InspectUnverified(m)
	if err != nil {
		t.Fatal(err)
	}
	frameAt := u.HeaderLength - 16 - 32 - 4
	countAt := 37 + len(c.Canonical())
	edk := m[countAt+2 : frameAt-1]
	put := func(at int, b ...byte) []byte {
		x := bytes.Clone(m)
		copy(x[at:], b)
		return x
	}
	many := func(n int) []byte {
		x := append(bytes.Clone(m[:countAt]), byte(n>>8), byte(n))
		return append(append(x, bytes.Repeat(edk, n)...), m[frameAt-1:]...)
	}
	long := bytes.Clone(m[:countAt])
	long = append(long, 0, 1, 0, 1, 'x', 0, 0, 0xff, 0xff)
	long = append(append(long, make([]byte, 0xffff)...), m[frameAt-1:]...)
	for what, x := range map[string]struct {
		m    []byte
		want error
	}{
		"frames of 4 GiB":            {put(frameAt, 0xff, 0xff, 0xff, 0xff), kmsctx.ErrLimit},
		"frames of 16 MiB and one":   {put(frameAt, 1, 0, 0, 1), kmsctx.ErrLimit},
		"frames of nothing":          {put(frameAt, 0, 0, 0, 0), kmsctx.ErrMalformed},
		"another content type":       {put(frameAt-1, 3), kmsctx.ErrMalformed},
		"65,535 encrypted keys":      {put(countAt, 0xff, 0xff), kmsctx.ErrLimit},
		"five encrypted keys":        {many(5), kmsctx.ErrLimit},
		"no encrypted key":           {put(countAt, 0, 0), kmsctx.ErrMalformed},
		"a header of 64 KiB":         {long, kmsctx.ErrLimit},
		"a context of 65,535 pairs":  {put(37, 0xff, 0xff), kmsctx.ErrMalformed},
		"base64":                     {[]byte(base64.StdEncoding.EncodeToString(m)), kmsctx.ErrMalformed},
		"version 1":                  {put(0, 1), kmsctx.ErrUnsupported},
		"a suite without commitment": {put(1, 0x01, 0x78), kmsctx.ErrUnsupported},
		"a suite of version 1":       {put(1, 0x03, 0x78), kmsctx.ErrUnsupported},
		"text":                       {[]byte(strings.Repeat("hello world ", 100)), kmsctx.ErrUnsupported},
		"zeros":                      {make([]byte, 1000), kmsctx.ErrUnsupported},
	} {
		for name, open := range openWays {
			got, err := open(e, x.m, c)
			classified(t, what+", "+name, got, err, plain, 32)
			if !errors.Is(err, x.want) {
				t.Errorf("%s, %s: %v", what, name, err)
			}
		}
		if _, err := kmsctx.InspectUnverified(x.m); err != nil && !errors.As(err, new(*kmsctx.Error)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The controls: the limits are options.
	five, err := kmsctx.New(ring(t, 1), &kmsctx.Options{MaxEncryptedKeys: 5})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := five.Open(t.Context(), nil, many(5), c); !errors.Is(err, kmsctx.ErrHeaderAuth) {
		t.Errorf("five keys, and five allowed: %v", err)
	}
	for _, o := range []kmsctx.Options{{MaxPlaintext: 47, MaxStream: 47}, {MaxHeader: u.HeaderLength - 1}, {MaxFrame: 31}} {
		small, err := kmsctx.New(ring(t, 1), &o)
		if err != nil {
			t.Fatal(err)
		}
		refusedBy(t, small, c, plain, fmt.Sprintf("%+v", o), m, kmsctx.ErrLimit)
	}
	exact, err := kmsctx.New(ring(t, 1), &kmsctx.Options{MaxPlaintext: 48, MaxStream: 48, MaxHeader: u.HeaderLength, MaxFrame: 32, FrameLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range openWays {
		if got, err := open(exact, m, c); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("exactly at the limits, %s: %v", name, err)
		}
	}
	for name, seal := range sealWays {
		if _, err := seal(t, exact, plain, c); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
		if _, err := seal(t, exact, text(49), c); !errors.Is(err, kmsctx.ErrLimit) {
			t.Errorf("%s beyond the limit: %v", name, err)
		}
	}
}

// A stream's memory is what came, not what the header promises.
func TestPromisedFramesTakeNoMemory(t *testing.T) {
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 16 << 20})
	c := ec(t, "tenant", "a")
	m, err := e.Seal(t.Context(), nil, text(100), c)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := e.NewReader(context.Background(), bytes.NewReader(m), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, d); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Errorf("%d bytes for a message of %d", n, len(m))
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o     kmsctx.Options
		want  error
		names string
	}{
		"negative frame":     {kmsctx.Options{FrameLength: -1}, kmsctx.ErrLimit, "FrameLength"},
		"huge frame":         {kmsctx.Options{FrameLength: 16<<20 + 1}, kmsctx.ErrLimit, "FrameLength"},
		"negative plaintext": {kmsctx.Options{MaxPlaintext: -1}, kmsctx.ErrLimit, "MaxPlaintext"},
		"negative stream":    {kmsctx.Options{MaxStream: -1}, kmsctx.ErrLimit, "MaxStream"},
		"negative keys":      {kmsctx.Options{MaxEncryptedKeys: -1}, kmsctx.ErrLimit, "MaxEncryptedKeys"},
		"many keys":          {kmsctx.Options{MaxEncryptedKeys: 1 << 16}, kmsctx.ErrLimit, "MaxEncryptedKeys"},
		"negative header":    {kmsctx.Options{MaxHeader: -1}, kmsctx.ErrLimit, "MaxHeader"},
		"negative max frame": {kmsctx.Options{MaxFrame: -1}, kmsctx.ErrLimit, "MaxFrame"},
		"negative workers":   {kmsctx.Options{Workers: -1}, kmsctx.ErrLimit, "Workers"},
		"many workers":       {kmsctx.Options{Workers: 65}, kmsctx.ErrLimit, "Workers"},
		"suite":              {kmsctx.Options{Suite: 0x0178}, kmsctx.ErrUnsupported, "suite"},
		"required reserved":  {kmsctx.Options{RequiredKeys: []string{"aws-crypto-public-key"}}, kmsctx.ErrContext, "RequiredKeys"},
		"withheld empty":     {kmsctx.Options{Withheld: []string{""}}, kmsctx.ErrContext, "Withheld"},
	} {
		if e, err := kmsctx.New(ring(t, 1), &tc.o); !errors.Is(err, tc.want) || e != nil || !strings.Contains(err.Error(), tc.names+" ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e, err := kmsctx.New(nil, nil); !errors.Is(err, kmsctx.ErrMalformed) || e != nil {
		t.Errorf("no keyring: %v", err)
	}
	for name, f := range map[string]func() (any, error){
		"short key":    func() (any, error) { return kmsctx.NewRawAES("a", "b", tenant.NewSecret(make([]byte, 16))) },
		"no namespace": func() (any, error) { return kmsctx.NewRawAES("", "b", tenant.NewSecret(make([]byte, 32))) },
		"aws-kms":      func() (any, error) { return kmsctx.NewRawAES("aws-kms", "b", tenant.NewSecret(make([]byte, 32))) },
		"no name":      func() (any, error) { return kmsctx.NewRawAES("a", "", tenant.NewSecret(make([]byte, 32))) },
		"nil":          func() (any, error) { return kmsctx.Multi(nil) },
		"nil child":    func() (any, error) { return kmsctx.Multi(ring(t, 1), nil) },
		"no wrapper":   func() (any, error) { return kmsctx.Multi(ring(t, 1), static(nil)) },
	} {
		if _, err := f(); !errors.Is(err, kmsctx.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func kmsctxIs(err, want error) bool {
	var e *kmsctx.Error
	return errors.As(err, &e) && errors.Is(err, want)
}
