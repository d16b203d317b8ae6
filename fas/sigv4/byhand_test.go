package sigv4_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// signByHand is the specification once more, in the plainest way, for a
// canonical request of 2026-03-01 12:00.
func signByHand(canonical string) string {
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	sum := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n20260301T120000Z\n20260301/us-east-1/service/aws4_request\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	for _, s := range []string{"20260301", "us-east-1", "service", "aws4_request", text} {
		key = mac(key, s)
	}
	return hex.EncodeToString(key)
}
