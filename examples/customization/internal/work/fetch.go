package work

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// Limits of an ingestion.
const (
	MaxSource = 256 << 20 // bytes of source in one customization, as they were read
	MaxFiles  = 50_000
	MaxFile   = 10 << 20     // bytes; larger files are ignored
	MaxListed = 4 * MaxFiles // objects below the prefix, ignored ones included
	maxName   = 1024         // bytes of a file's path below the prefix
)

// FetchRequest is what the fetch worker is asked. The evidence is the
// customer's signed call, good once; the ticket names the unfinished version.
type FetchRequest struct {
	Evidence      []byte                 `json:"evidence"`
	Request       tenant.RequestID       `json:"request"`
	Customization tenant.CustomizationID `json:"customization"`
	Profile       string                 `json:"profile"`
	Scope         []byte                 `json:"scope"`
	Ticket        fas.Ticket             `json:"ticket"`
	Host          string                 `json:"host"`
}

// Copied is what a fetch worker reports: sizes and a digest, never names.
type Copied struct {
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`
	Ignored int    `json:"ignored"`
	Digest  string `json:"digest"` // sha256 of the sealed staging file
}

// ErrTooLarge is returned when the source exceeds [MaxSource], [MaxFiles] or
// [MaxListed].
var ErrTooLarge = errors.New("work: the source exceeds the limits of a customization")

// ErrNoSource is returned when there is no object below the prefix.
var ErrNoSource = errors.New("work: no source below the prefix")

func dialFirewall(f *os.File) (*fas.Client, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("work: the firewall's socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("work: the firewall's descriptor is not a unix socket")
	}
	return fas.DialWorker(u)
}

// Fetch copies the customer's source, byte by byte and without looking into
// it, from the bucket to sealed staging. Files: firewall, bucket socket,
// staging.
func Fetch(ctx context.Context, raw []byte, files []*os.File) ([]byte, error) {
	var req FetchRequest
	if err := json.Unmarshal(raw, &req); err != nil || len(files) != 3 {
		return nil, errors.New("work: a fetch needs its request and three descriptors")
	}
	ev, err := fas.ParseEvidence(req.Evidence)
	if err != nil {
		return nil, err
	}
	wall, err := dialFirewall(files[0])
	if err != nil {
		return nil, err
	}
	defer wall.Close()
	stage, err := wall.Redeem(ctx, req.Ticket, fas.VerbStage)
	if err != nil {
		return nil, err
	}
	defer stage.Close()
	source, err := wall.Exchange(ctx, ev, fas.Request{RequestID: req.Request, Customization: req.Customization, Profile: req.Profile, Scope: req.Scope})
	if err != nil {
		return nil, err
	}
	defer source.Close()
	creds, err := source.Credentials()
	if err != nil {
		return nil, err
	}
	b, err := newBucket(files[1], req.Host, creds)
	if err != nil {
		return nil, err
	}
	var out Copied
	err = stage.WithKey(fas.VerbStage, func(key []byte) error {
		return copyAll(ctx, b, creds.Prefix, files[2], key, bindingOf(stage), &out)
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func bindingOf(s *fas.Session) binding {
	return binding{s.Tenant(), s.Customization(), s.Snapshot()}
}

func copyAll(ctx context.Context, b *bucket, prefix string, to *os.File, key []byte, bind binding, out *Copied) error {
	sum := sha256.New()
	sw, err := newStagingWriter(ctx, io.MultiWriter(to, hash.Hash(sum)), key, bind)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(sw)
	// The list comes first, whole: what is too large is refused before a byte
	// is copied, and whoever waits learns how much there is.
	var keys []string
	err = b.list(ctx, prefix, func(k string, size int64) error {
		if size > MaxFile || size == 0 || !isFile(strings.TrimPrefix(k, prefix)) {
			out.Ignored++
			return nil
		}
		if out.Bytes += size; out.Bytes > MaxSource || len(keys) == MaxFiles {
			return ErrTooLarge
		}
		keys = append(keys, k)
		return nil
	})
	if err != nil {
		return err
	}
	total := Step{Name: "fetch", Of: len(keys), OfBytes: out.Bytes}
	report := progressFrom(ctx)
	report(total)
	out.Bytes = 0
	for _, k := range keys {
		text, err := b.get(ctx, k)
		if err != nil {
			return err
		}
		// An object may have grown since it was listed.
		if out.Bytes += int64(len(text)); out.Bytes > MaxSource {
			return ErrTooLarge
		}
		out.Files++
		name := strings.TrimPrefix(k, prefix)
		if err := tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := tw.Write(text); err != nil {
			return err
		}
		total.Files, total.Bytes = out.Files, out.Bytes
		report(total)
	}
	if out.Files == 0 {
		return ErrNoSource
	}
	if err := errors.Join(tw.Close(), sw.Close(), to.Sync()); err != nil {
		return err
	}
	out.Digest = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// isFile reports whether a key's rest is the path of a file: relative, without
// empty or dotted segments. Others, such as folder markers, are no source.
func isFile(name string) bool {
	return len(name) <= maxName && name != "." && fs.ValidPath(name)
}
