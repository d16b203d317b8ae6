package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// kmsAudit writes the service's events to the audit log: what was granted is
// durable before it is answered.
type kmsAudit struct{ log audit.Recorder }

// Record implements [localkms.Recorder].
func (k kmsAudit) Record(ctx context.Context, e localkms.Event) error {
	ev := audit.Event{Time: e.Time, Kind: "kms." + strings.ToLower(e.Operation), Decision: audit.Allow, Reason: "ok", Detail: map[string]string{}}
	for name, v := range map[string]string{"principal": e.Principal, "request": e.RequestID, "key": e.KeyID, "to_key": e.ToKeyID, "grant": e.GrantID, "grantee": e.Grantee,
		"context": contextText(e.Context), "to_context": contextText(e.ToContext)} {
		if v != "" {
			ev.Detail[name] = audit.Clip(v)
		}
	}
	if e.DryRun {
		ev.Detail["dry_run"] = "true"
	}
	if e.Code != "" {
		ev.Decision, ev.Reason = audit.Deny, strings.ToLower(e.Code)
		return k.log.Append(ctx, ev)
	}
	return k.log.Record(ctx, ev)
}

func contextText(pairs map[string]string) string {
	if len(pairs) == 0 {
		return ""
	}
	b, err := json.Marshal(pairs)
	if err != nil {
		return "unreadable"
	}
	return string(b)
}

// strangers is how many refusals a second of what anybody may have sent are in
// the log one by one; there is one record of how many more there were.
const strangers = 3

// refusals writes what was refused before it became a call. Whoever has no
// access key fills no disk, and keeps no record of another's from being written.
type refusals struct {
	log audit.Recorder

	mu     sync.Mutex
	second time.Time
	n      int // in that second, records
	more   int // and no records
}

func (l *refusals) add(r kmsserver.Refusal) {
	if r.Principal == "" && l.full() {
		return
	}
	e := refusal(time.Now())
	if errors.Is(r.Err, kmsserver.ErrReplayed) {
		e.Reason = "replayed"
	}
	for name, v := range map[string]string{"request": r.RequestID, "remote": r.Request.RemoteAddr, "access_key": r.AccessKeyID, "principal": r.Principal,
		"target": head(r.Request.Header.Get("X-Amz-Target")), "error": r.Err.Error()} {
		if v != "" {
			e.Detail[name] = audit.Clip(v)
		}
	}
	_ = l.log.Append(context.WithoutCancel(r.Request.Context()), e)
}

// head keeps enough of a name to know it by.
func head(s string) string { return s[:min(len(s), 128)] }

func refusal(now time.Time) audit.Event {
	return audit.Event{Time: now, Kind: "kms.request", Decision: audit.Deny, Reason: "not-accepted", Detail: map[string]string{}}
}

// full counts a stranger's refusal and reports whether it gets no record.
func (l *refusals) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if d := now.Sub(l.second); l.more == 0 && (d < 0 || d >= time.Second) {
		l.second, l.n = now, 0
	}
	if l.n < strangers {
		l.n++
		return false
	}
	if l.more++; l.more == 1 {
		time.AfterFunc(time.Second, l.flush)
	}
	return true
}

// flush writes how many got no record.
func (l *refusals) flush() {
	l.mu.Lock()
	n := l.more
	l.more = 0
	l.mu.Unlock()
	if n > 0 {
		e := refusal(time.Now())
		e.Detail["count"] = strconv.Itoa(n)
		_ = l.log.Append(context.Background(), e)
	}
}

// alarm tells whoever runs the service that its log fails: callers are not told
// what goes wrong inside, and the log itself cannot tell.
type alarm struct {
	log audit.Recorder
	w   io.Writer

	mu   sync.Mutex
	last time.Time
}

// Record implements [audit.Recorder].
func (a *alarm) Record(ctx context.Context, e audit.Event) error {
	return a.heard(a.log.Record(ctx, e))
}

// Append implements [audit.Recorder].
func (a *alarm) Append(ctx context.Context, e audit.Event) error {
	return a.heard(a.log.Append(ctx, e))
}

func (a *alarm) heard(err error) error {
	if err == nil || errors.Is(err, context.Canceled) { // of a caller that went away
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); a.last.IsZero() || now.Sub(a.last) >= time.Minute {
		a.last = now
		fmt.Fprintf(a.w, "cloister: the audit log cannot be written, and what it does not have is refused: %s\n", oneLine(err))
	}
	return err
}
