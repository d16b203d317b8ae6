package client

import (
	"bytes"
	"context"
	"errors"
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

// Upload puts files below the prefix of the user's bucket.
func Upload(ctx context.Context, c *s3.Client, u User, prefix string, files []File) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan File)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for f := range queue {
				b, err := os.ReadFile(f.Path)
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

// Walk lists the source files below root, at most max bytes of them. Version
// control folders, hidden and large files are left out.
func Walk(root string, sub []string, max int64) ([]File, error) {
	var out []File
	var total int64
	for _, s := range sub {
		err := filepath.WalkDir(filepath.Join(root, s), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := d.Name()
			if d.IsDir() {
				if name == "testdata" || name == "vendor" || len(name) > 1 && name[0] == '.' {
					return fs.SkipDir
				}
				return nil
			}
			info, err := d.Info()
			if err != nil || !info.Mode().IsRegular() || name[0] == '.' || info.Size() == 0 || info.Size() > 1<<20 || total+info.Size() > max {
				return err
			}
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
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
