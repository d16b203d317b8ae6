package kmsctx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// The whole of it: a key, two tenants' contexts, a message that opens for one.
func Example() {
	ctx := context.Background()
	key := tenant.NewSecret(bytes.Repeat([]byte{1}, kmsctx.DataKeyLen)) // from your secret store
	ring, err := kmsctx.NewRawAES("example", "key-1", key)
	if err != nil {
		fmt.Println(err)
		return
	}
	env, err := kmsctx.New(ring, &kmsctx.Options{RequiredKeys: []string{"tenant"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mine, err1 := kmsctx.NewContext(map[string]string{"tenant": "acme", "purpose": "invoices"})
	theirs, err2 := kmsctx.NewContext(map[string]string{"tenant": "other", "purpose": "invoices"})
	if err := errors.Join(err1, err2); err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := env.Seal(ctx, nil, []byte("42 EUR"), mine)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = env.Open(ctx, nil, sealed, theirs)
	fmt.Println(err)
	_, err = env.Open(ctx, nil, sealed[:len(sealed)-1], mine)
	fmt.Println(err)
	plain, err := env.Open(ctx, nil, sealed, mine)
	fmt.Printf("%s %v\n", plain, err)
	// Output:
	// kmsctx: open: encryption context does not match
	// kmsctx: open: frame 1: message is cut off
	// 42 EUR <nil>
}

func exampleEnvelope(o *kmsctx.Options) (*kmsctx.Envelope, kmsctx.Context) {
	ring, err := kmsctx.NewRawAES("example", "key-1", tenant.NewSecret(bytes.Repeat([]byte{1}, kmsctx.DataKeyLen)))
	if err != nil {
		panic(err)
	}
	env, err := kmsctx.New(ring, o)
	if err != nil {
		panic(err)
	}
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "acme"})
	if err != nil {
		panic(err)
	}
	return env, ec
}

// A stream whose writer died opens up to its last whole frame, and then says
// that it is cut off.
func ExampleEnvelope_NewWriter() {
	ctx := context.Background()
	env, ec := exampleEnvelope(&kmsctx.Options{FrameLength: 8})
	var file bytes.Buffer
	w, err := env.NewWriter(ctx, &file, ec)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := io.Copy(w, strings.NewReader("a text of several frames")); err != nil {
		fmt.Println(err)
		return
	}
	read := func(message []byte) {
		r, err := env.NewReader(ctx, bytes.NewReader(message), ec)
		if err != nil {
			fmt.Println(err)
			return
		}
		plain, err := io.ReadAll(r)
		fmt.Printf("%q %v\n", plain, err)
	}
	read(file.Bytes()) // before Close
	if err := w.Close(); err != nil {
		fmt.Println(err)
		return
	}
	read(file.Bytes())
	// Output:
	// "a text of severa" kmsctx: open: frame 3: message is cut off
	// "a text of several frames" <nil>
}

// Bytes 16 to 20 of an object, without the rest of it.
func ExampleEnvelope_NewReaderAt() {
	ctx := context.Background()
	env, ec := exampleEnvelope(&kmsctx.Options{FrameLength: 8})
	m, err := env.Seal(ctx, nil, []byte("a text of several frames"), ec)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = env.NewReaderAt(ctx, bytes.NewReader(m[:len(m)-40]), int64(len(m)-40), ec)
	fmt.Println(err) // what lies at the end is no final frame
	r, err := env.NewReaderAt(ctx, bytes.NewReader(m), int64(len(m)), ec)
	if err != nil {
		fmt.Println(err)
		return
	}
	p := make([]byte, 4)
	_, err = r.ReadAt(p, 16)
	_, span := r.CiphertextRange(16, 4)
	fmt.Printf("%q of %d bytes, from a range of %d: %v\n", p, r.Size(), span, err)
	// Output:
	// kmsctx: open: frame 2: frame does not verify
	// "l fr" of 24 bytes, from a range of 48: <nil>
}

// endless is a session for the example; a fas.Session is one.
type endless struct{ id tenant.SessionID }

func (s endless) ID() tenant.SessionID { return s.id }
func (endless) Expires() time.Time     { return time.Now().Add(time.Hour) }
func (endless) Err() error             { return nil }

// down is a key service that stops permitting.
type down struct{ kmsctx.Keyring }

func (down) DecryptDataKey(context.Context, kmsctx.Context, []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return nil, kmsctx.ErrKeyDisabled
}

// Who disables a key invalidates it, and does not wait for the cache.
func ExampleCache_Invalidate() {
	ctx := context.Background()
	plain, ec := exampleEnvelope(nil)
	sealed, err := plain.Seal(ctx, nil, []byte("x"), ec)
	if err != nil {
		fmt.Println(err)
		return
	}
	ring, err := kmsctx.NewRawAES("example", "key-1", tenant.NewSecret(bytes.Repeat([]byte{1}, kmsctx.DataKeyLen)))
	if err != nil {
		fmt.Println(err)
		return
	}
	cache, err := kmsctx.NewCache(kmsctx.CachePolicy{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()
	p := kmsctx.Partition{Tenant: tenant.NewID(), Key: "key-1", Session: endless{tenant.NewSessionID()}}
	open := func(r kmsctx.Keyring) {
		cached, err := cache.Keyring(p, r)
		if err != nil {
			fmt.Println(err)
			return
		}
		env, err := kmsctx.New(cached, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, err := env.Open(ctx, nil, sealed, ec)
		fmt.Printf("%q %v\n", text, err)
	}
	open(ring)
	open(down{ring}) // kept, for a minute at most
	cache.Invalidate("key-1")
	open(down{ring})
	// Output:
	// "x" <nil>
	// "x" <nil>
	// "" kmsctx: open: key is disabled
}

func ExampleContext_PolicyCondition() {
	_, err := kmsctx.Context{}.PolicyCondition()
	fmt.Println(errors.Is(err, kmsctx.ErrContext))
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "acme"})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := ec.PolicyCondition()
	fmt.Println(c["StringEquals"], c["ForAllValues:StringEquals"], err)
	// Output:
	// true
	// map[kms:EncryptionContext:tenant:[acme]] map[kms:EncryptionContextKeys:[tenant]] <nil>
}
