package localkms_test

import (
	"context"
	"sync"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// hasty is a caller who goes away while its call is being recorded, and a
// recorder that minds, as one that waits for a disk does.
type hasty struct {
	mu     sync.Mutex
	leave  context.CancelFunc
	events []localkms.Event
}

func (h *hasty) Record(ctx context.Context, e localkms.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	if h.leave != nil {
		h.leave()
	}
	return ctx.Err()
}

// What is recorded as done is done, also for a caller who is gone by then.
func TestRecordsSayWhatHappened(t *testing.T) {
	t.Parallel()
	rec := &hasty{}
	s, err := localkms.NewService(open(t, t.TempDir()), rec, nil)
	must(t, err)
	key := createKey(t, s)
	other := createKey(t, s)
	blob := encrypt(t, s, key, nil)

	gone, leave := context.WithCancel(ctx)
	rec.leave = leave
	_, err = s.DisableKey(gone, admin, &localkms.KeyInput{KeyID: key})
	rec.leave = nil
	last := rec.events[len(rec.events)-1]
	d, derr := s.DescribeKey(ctx, admin, &localkms.DescribeKeyInput{KeyID: key})
	must(t, derr)
	if done := !d.KeyMetadata.Enabled; last.Operation != "DisableKey" || (last.Code == "") != done || (err == nil) != done {
		t.Errorf("recorded as %q, answered %v, done: %v", last.Code, err, done)
	}
	// A caller who was gone before is refused, and so it stands.
	if _, err = s.EnableKey(gone, admin, &localkms.KeyInput{KeyID: key}); err == nil || rec.events[len(rec.events)-1].Code == "" {
		t.Errorf("the call of one who is gone: %v, recorded as %+v", err, rec.events[len(rec.events)-1])
	}

	// A ciphertext that is none was tried with no key.
	_, err = s.ReEncrypt(ctx, admin, &localkms.ReEncryptInput{CiphertextBlob: []byte("garbage"), DestinationKeyID: other})
	want(t, "garbage", err, localkms.ErrInvalidCiphertext)
	if last := rec.events[len(rec.events)-1]; last.KeyID != "" || last.ToKeyID != "" {
		t.Errorf("recorded under a key: %+v", last)
	}
	// The control: a disabled one is named.
	_, err = s.ReEncrypt(ctx, admin, &localkms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyID: other})
	want(t, "a disabled key", err, localkms.ErrKeyDisabled)
	if last := rec.events[len(rec.events)-1]; last.KeyID != key {
		t.Errorf("recorded under %q, not %q", last.KeyID, key)
	}
}
