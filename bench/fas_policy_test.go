package main

import (
	"strings"
	"testing"
)

func TestPolicyRows(t *testing.T) {
	rows, err := policyRows(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, peer := range []string{"versitygw v", "cedar-go v"} {
		if r := rows[i]; r.Name != "policy/decision" || r.Unit != "ns" || !strings.HasPrefix(r.Peer, peer) {
			t.Errorf("%+v", r)
		}
		t.Logf("%+v", rows[i])
	}
}
