package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// One datagram is one frame: a kind byte and a body. Bodies that may be large
// travel in several frames.
const (
	frameReady    = 'Y' // worker: JSON ready
	frameHeader   = 'H' // parent: JSON header, with the files
	frameData     = 'B' // either: part of the request or reply
	frameProgress = 'P' // worker
	frameDone     = 'D' // worker: JSON done
	frameRefuse   = 'X' // worker: text, why it could not be confined

	frameSize = 32 << 10
)

type ready struct {
	Layers layer `json:"layers"`
}

type header struct {
	Kind  string `json:"kind"`
	Size  int    `json:"size"`
	Files int    `json:"files"`
	Key   []byte `json:"key"`
}

type done struct {
	Handled    int    `json:"handled"`
	Code       string `json:"code,omitempty"`
	Diagnostic string `json:"diagnostic,omitempty"`
	MAC        []byte `json:"mac"`
}

func parseHeader(b []byte, maxMessage int) (header, error) {
	var h header
	if err := json.Unmarshal(b, &h); err != nil {
		return header{}, fmt.Errorf("%w: header", ErrProtocol)
	}
	if !validCode(h.Kind) || h.Size < 0 || h.Size > maxMessage || h.Files < 0 || h.Files > maxFiles || len(h.Key) != 32 {
		return header{}, fmt.Errorf("%w: header", ErrProtocol)
	}
	return h, nil
}

func parseDone(b []byte) (done, error) {
	var d done
	if err := json.Unmarshal(b, &d); err != nil {
		return done{}, fmt.Errorf("%w: end", ErrProtocol)
	}
	if d.Code != "" && !validCode(d.Code) || len(d.MAC) != sha256.Size {
		return done{}, fmt.Errorf("%w: end", ErrProtocol)
	}
	return d, nil
}

// claim is the MAC under the one-shot key over what the worker says it did.
func claim(key []byte, handled int, l layer, request, reply [32]byte, code string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("cloister-sandbox-claim-v1\x00"))
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(handled))
	binary.BigEndian.PutUint64(n[8:], uint64(l))
	m.Write(n[:])
	m.Write(request[:])
	m.Write(reply[:])
	m.Write([]byte(code))
	return m.Sum(nil)
}

func frame(kind byte, body []byte) []byte {
	return append([]byte{kind}, body...)
}

// frames cuts body and calls send for each part.
func frames(body []byte, send func([]byte) error) error {
	for len(body) > 0 {
		n := min(len(body), frameSize)
		if err := send(frame(frameData, body[:n])); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

var errTooLarge = errors.New("more data than announced or allowed")
