package cloud_test

import (
	"testing"
	"time"
)

// TestRotatedKeys changes the firewall's keys under a store that runs: no
// session notices, until the keys that made it are taken back.
func TestRotatedKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("src/a", "x")
	target := "/" + w.a.bucket + "/src/a"
	check := func(name string, p who, want int) {
		t.Helper()
		if got := w.send(p, "GET", target, nil, nil); got.status != want || want == 403 && got.code != "SignatureDoesNotMatch" {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.code, want)
		}
	}
	before, _ := w.session("src/", time.Minute)
	check("before", before, 200)
	if err := w.srv.RotateSessionKeys(t.Context(), 4*time.Second); err != nil {
		t.Fatal(err)
	}
	check("while the new keys wait", before, 200)
	during, _ := w.session("src/", time.Minute)
	check("made while they wait", during, 200)
	time.Sleep(time.Until(w.srv.SessionKeysSince()) + 10*time.Millisecond)
	after, _ := w.session("src/", time.Minute)
	if before.token[:18] != during.token[:18] || before.token[:18] == after.token[:18] {
		t.Errorf("made with %s, %s and %s", before.token[:18], during.token[:18], after.token[:18])
	}
	check("with the new keys", after, 200)
	check("with the old keys", before, 200)
	mixed := after
	mixed.token = before.token[:18] + after.token[18:]
	check("with the name of the old keys", mixed, 403)
	mixed.token = "2.0123456789abcdef" + after.token[18:]
	check("with the name of nobody's keys", mixed, 403)

	if err := w.srv.RenewSessionKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // a store asks no more than once a second
	last, _ := w.session("src/", time.Minute)
	check("with keys made anew", last, 200)
	check("with keys that were taken back", after, 403)
	check("with older ones", before, 403)
}
