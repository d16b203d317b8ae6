package kmsctx

// Unverified is what a header claims. Anyone may have written it: show it to
// people, find the right key with it, and decide nothing by it.
type Unverified struct {
	Suite        Suite
	MessageID    [32]byte
	Context      map[string]string // the stored pairs, the signer's key included
	Keys         []EncryptedDataKey
	Framed       bool
	FrameLength  int // 0 for a non-framed message
	HeaderLength int // in bytes; the body begins there
}

// InspectUnverified reads a header without a key. b is a message or its
// beginning: an error that wraps [ErrTruncated] means that more of it is
// needed. It accepts up to 64 encrypted data keys and a header of 1 MiB, and
// what of a message is not supported here is refused as by Open.
func InspectUnverified(b []byte) (Unverified, error) {
	h, err := parseHeader(b, limits{keys: 64, header: 1 << 20, frame: 1<<31 - 1, unframed: true})
	if err != nil {
		return Unverified{}, at("inspect", err)
	}
	pairs, err := parsePairs(h.stored)
	if err != nil {
		return Unverified{}, at("inspect", err)
	}
	u := Unverified{Suite: h.suite, Context: pairs, Framed: h.framed, FrameLength: h.frameLength, HeaderLength: h.length}
	copy(u.MessageID[:], h.messageID)
	for _, k := range h.keys {
		u.Keys = append(u.Keys, k.clone())
	}
	return u, nil
}
