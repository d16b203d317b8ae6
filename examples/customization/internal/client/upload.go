package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3 is the official client with the user's own key, against the customer
// cloud at addr.
func S3(addr string, u User) *s3.Client {
	return s3.New(s3.Options{
		Region: Region, BaseEndpoint: aws.String("http://" + addr), UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider(u.AccessKeyID, u.Secret, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

// File is a source file to upload.
type File struct {
	Path string // on disk
	Key  string // below the prefix
	Size int64
}

// ErrChanged is returned by [Upload] for a file that became something else
// since it was listed, such as a link to a file that nobody meant to upload.
var ErrChanged = errors.New("client: a listed file is a regular file no longer")

// maxSource is the largest file that [Walk] lists, in bytes.
const maxSource = 1 << 20

// Upload puts files below the prefix of the user's bucket. The first error,
// or the end of the context, ends it; what was uploaded until then stays.
func Upload(ctx context.Context, c *s3.Client, u User, prefix string, files []File) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan File)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for f := range queue {
				b, err := read(f.Path)
				if err == nil {
					_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: &u.Bucket, Key: aws.String(prefix + f.Key), Body: bytes.NewReader(b)})
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, f := range files {
		select {
		case queue <- f:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

// read follows no link at the end of the path.
func read(path string) ([]byte, error) {
	listed, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !listed.Mode().IsRegular() {
		return nil, ErrChanged
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(listed, opened) {
		return nil, ErrChanged
	}
	return io.ReadAll(f)
}

// Walk lists the source files in the folders sub below root, at most max bytes
// of them: files that do not fit are left out. So are files that are empty,
// larger than 1 MiB, hidden or not regular, and the folders testdata, vendor
// and hidden ones, with them version control. Links are not followed, except
// root itself. A sub that leads out of root is refused; one that does not
// exist is empty.
func Walk(root string, sub []string, max int64) ([]File, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	var out []File
	var total int64
	seen := map[string]bool{}
	for _, s := range sub {
		if !filepath.IsLocal(s) {
			return nil, fmt.Errorf("client: %q is not below the root", s)
		}
		start := filepath.Join(root, s)
		err := filepath.WalkDir(start, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := d.Name()
			if d.IsDir() {
				if p != root && (name == "testdata" || name == "vendor" || name[0] == '.') {
					return fs.SkipDir
				}
				return nil
			}
			info, err := d.Info()
			if err != nil || !info.Mode().IsRegular() || name[0] == '.' || info.Size() == 0 || info.Size() > maxSource || total+info.Size() > max || seen[p] {
				return err
			}
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			seen[p] = true
			total += info.Size()
			out = append(out, File{p, filepath.ToSlash(rel), info.Size()})
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return out, nil
}
