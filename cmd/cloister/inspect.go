package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cloisterdev/cloister/kmsctx"
)

// maxHeader is as much of a message as inspect looks at, in bytes.
const maxHeader = 1 << 20

// peekHeader reads the header of a message without taking it from r.
func peekHeader(r *bufio.Reader) (kmsctx.Unverified, error) {
	for n := 4 << 10; ; n = min(2*n, maxHeader) {
		b, err := r.Peek(n)
		u, uerr := kmsctx.InspectUnverified(b)
		if uerr == nil || !errors.Is(uerr, kmsctx.ErrTruncated) || err != nil || n == maxHeader {
			if err != nil && !errors.Is(err, io.EOF) {
				return u, err
			}
			return u, uerr
		}
	}
}

// inspected is what inspect prints, in JSON.
type inspected struct {
	Unverified  bool              `json:"unverified"` // always true
	Suite       string            `json:"suite"`
	MessageID   string            `json:"message_id"`
	Context     map[string]string `json:"context"`
	Keys        []inspectedKey    `json:"keys"`
	Framed      bool              `json:"framed"`
	FrameLength int               `json:"frame_length"`
	Header      int               `json:"header_bytes"`
}

type inspectedKey struct {
	Provider string `json:"provider"`
	Info     string `json:"info"`
	Bytes    int    `json:"ciphertext_bytes"`
}

var errInspect = fmt.Errorf("%w: cloister inspect [--json] <MESSAGE", errUsage)

func inspect(args []string, in io.Reader, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("inspect", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	asJSON := fs.Bool("json", false, "")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err = fmt.Fprint(out, envelopeUsage)
		return err
	case err != nil:
		return errors.Join(errInspect, err)
	case fs.NArg() > 0:
		return stray(errInspect, fs.Arg(0))
	}
	u, err := peekHeader(bufio.NewReaderSize(in, maxHeader))
	if err != nil {
		return err
	}
	i := inspected{true, u.Suite.String(), hex.EncodeToString(u.MessageID[:]), u.Context, nil, u.Framed, u.FrameLength, u.HeaderLength}
	for _, k := range u.Keys {
		i.Keys = append(i.Keys, inspectedKey{k.Provider, readable(k.Info), len(k.Ciphertext)})
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(i)
	}
	fmt.Fprintf(errOut, "nothing of this is verified: anyone may have written it\n")
	var b bytes.Buffer
	fmt.Fprintf(&b, "suite       %s\nmessage id  %s\nframes      %d bytes\nheader      %d bytes\n", i.Suite, i.MessageID, i.FrameLength, i.Header)
	for _, k := range slices.Sorted(maps.Keys(i.Context)) {
		fmt.Fprintf(&b, "context     %q = %q\n", k, i.Context[k])
	}
	for _, k := range i.Keys {
		fmt.Fprintf(&b, "key         %q %s, %d bytes\n", k.Provider, k.Info, k.Bytes)
	}
	_, err = out.Write(b.Bytes())
	return err
}

// readable quotes the printable beginning of a key's information; what follows
// is binary.
func readable(b []byte) string {
	n := 0
	for n < len(b) && b[n] >= 0x20 && b[n] < 0x7f {
		n++
	}
	if n < len(b) {
		return fmt.Sprintf("%q and %d bytes", b[:n], len(b)-n)
	}
	return fmt.Sprintf("%q", b)
}
