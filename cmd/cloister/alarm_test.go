package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/audit"
)

// Whoever runs the service hears that it cannot record, and why; callers only
// hear that the call failed.
func TestKMSSaysThatItCannotRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, who, log := filepath.Join(dir, "root.key"), filepath.Join(dir, "who"), filepath.Join(dir, "log")
	if err := errors.Join(os.WriteFile(root, []byte(strings.Repeat("k", 32)), 0o600), os.WriteFile(who, []byte(kmsPrincipals), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, outW := io.Pipe()
	errOut, errW := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- command(ctx, []string{"kms", "serve", "--dir", filepath.Join(dir, "store"), "--root-key", root, "--principals", who, "--audit", log, "--listen", "127.0.0.1:0"}, strings.NewReader(""), outW, errW)
		outW.Close()
		errW.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	said := make(chan []string, 1)
	go func() {
		b, _ := io.ReadAll(errOut)
		said <- strings.Split(strings.TrimSpace(string(b)), "\n")
	}()
	if err := os.Rename(log, log+".away"); err != nil {
		t.Fatal(err)
	}
	client := kmsClient(strings.TrimSpace(strings.TrimPrefix(line, "serving on ")), "root")
	refused := 0
	for start := time.Now(); refused < 3 && time.Since(start) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		if _, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{}); err != nil {
			refused++
		}
	}
	cancel()
	<-done
	lines := <-said
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, "cloister: the audit log cannot be written, and what it does not have is refused: ") {
			n++
			if !strings.Contains(l, "no such file") || !strings.Contains(l, log) {
				t.Errorf("the cause: %s", l)
			}
		}
	}
	if n != 1 {
		t.Errorf("said %d times: %q", n, lines)
	}
}

type brokenLog struct{ err error }

func (b brokenLog) Record(context.Context, audit.Event) error { return b.err }
func (b brokenLog) Append(context.Context, audit.Event) error { return b.err }

// The alarm is heard once a minute, and not for callers that go away.
func TestAlarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		for _, c := range []struct {
			err  error
			want int
		}{{nil, 0}, {fmt.Errorf("%w: %w", audit.ErrUnavailable, context.Canceled), 0}, {errors.New("disk\nfull"), 2}} {
			out.Reset()
			a := &alarm{log: brokenLog{c.err}, w: &out}
			for range 120 {
				if err := a.Record(t.Context(), audit.Event{}); !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				if err := a.Append(t.Context(), audit.Event{}); !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if n := strings.Count(out.String(), "\n"); n != c.want || n != strings.Count(out.String(), "disk; full") {
				t.Errorf("%v: %q", c.err, out.String())
			}
		}
	})
}
