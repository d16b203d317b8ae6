package cloud

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
)

// nvme is the polynomial of CRC-64/NVME, reversed as hash/crc64 wants it.
const nvme = 0x9a6c9329ac4bc9b5

// checksums are the digests of a body that clients send besides the signed
// one, by header without "x-amz-".
var checksums = map[string]func() hash.Hash{
	"checksum-crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"checksum-crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"checksum-crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(nvme)) },
	"checksum-sha1":      sha1.New,
	"checksum-sha256":    sha256.New,
}

// checkDigests refuses a body that has another digest than the client says.
// The signature covers the body already; a client that also sends a digest
// made it nearer to the disk, and wants to know.
func checkDigests(h http.Header, body []byte) error {
	check := func(name string, sum hash.Hash) error {
		values := h.Values(name)
		if len(values) == 0 {
			return nil
		}
		want, err := base64.StdEncoding.Strict().DecodeString(values[0])
		if err != nil || len(want) != sum.Size() || len(values) > 1 {
			return errInvalidDigest
		}
		_, _ = sum.Write(body)
		if !bytes.Equal(sum.Sum(nil), want) {
			return errBadDigest
		}
		return nil
	}
	if err := check("Content-Md5", md5.New()); err != nil {
		return err
	}
	for name, sum := range checksums {
		if err := check("X-Amz-"+name, sum()); err != nil {
			return err
		}
	}
	return nil
}
