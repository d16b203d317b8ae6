// Package kmstest is the conformance suite of [kmsctx.Keyring]: what a message
// relies on when it leaves its data key to a key service. A keyring that
// passes opens what it made, for exactly the context and the key that it was
// made for, and nothing else.
//
//	func TestConformance(t *testing.T) {
//		kmstest.Run(t, func(t *testing.T) kmstest.Rings {
//			return kmstest.Rings{Ring: …, Other: …}
//		})
//	}
//
// [Check] does the same outside of a test, against a live service for example;
// it makes a few thousand calls.
//
// It does not look behind the interface: how keys are stored, what a service
// logs, and what its administrators can do are its own tests' business.
package kmstest
