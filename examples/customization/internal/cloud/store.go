package cloud

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/cloisterdev/cloister/tenant"
)

// MaxObject is the largest object accepted, in bytes.
const MaxObject = 32 << 20

// maxKey is the longest key, in bytes, as in S3.
const maxKey = 1024

// ErrNoObject is returned for an object or bucket that does not exist.
var ErrNoObject = errors.New("cloud: no such object")

var errForeign = errors.New("cloud: the bucket belongs to somebody else")

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// Object is what a list shows.
type Object struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
}

// store keeps buckets and their owners on disk. The owner of a bucket is
// decided when it is made and never changes.
type store struct{ db *bolt.DB }

var (
	owners = []byte("owners")
	data   = []byte("data")
)

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(dir, "objects.db"), 0o600, &bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("cloud: open the object store: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{owners, data} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &store{db}, nil
}

// ensure makes a bucket for its owner; a bucket of somebody else is refused.
func (s *store) ensure(bucket string, owner tenant.ID) error {
	if !bucketName.MatchString(bucket) {
		return fmt.Errorf("cloud: %q is not a bucket name", bucket)
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		o := tx.Bucket(owners)
		if have := o.Get([]byte(bucket)); have != nil {
			if string(have) != owner.String() {
				return errForeign
			}
			return nil
		}
		if err := o.Put([]byte(bucket), []byte(owner.String())); err != nil {
			return err
		}
		_, err := tx.Bucket(data).CreateBucketIfNotExists([]byte(bucket))
		return err
	})
}

func (s *store) owner(bucket string) (id tenant.ID, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(owners).Get([]byte(bucket))
		if v == nil {
			return ErrNoObject
		}
		id, err = tenant.ParseID(string(v))
		return err
	})
	return id, err
}

// header precedes an object's bytes: 8 bytes of unix nanoseconds and the MD5
// that S3 clients expect as ETag.
const headerLen = 8 + md5.Size

func (s *store) put(bucket, key string, body []byte, now time.Time) (etag string, err error) {
	sum := md5.Sum(body)
	v := make([]byte, 0, headerLen+len(body))
	v = binary.BigEndian.AppendUint64(v, uint64(now.UnixNano()))
	v = append(append(v, sum[:]...), body...)
	err = s.db.Batch(func(tx *bolt.Tx) error {
		b := tx.Bucket(data).Bucket([]byte(bucket))
		if b == nil {
			return ErrNoObject
		}
		return b.Put([]byte(key), v)
	})
	return hex.EncodeToString(sum[:]), err
}

func (s *store) get(bucket, key string) (o Object, body []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(data).Bucket([]byte(bucket))
		if b == nil {
			return ErrNoObject
		}
		v := b.Get([]byte(key))
		if len(v) < headerLen {
			return ErrNoObject
		}
		o, body = describe(key, v), bytes.Clone(v[headerLen:])
		return nil
	})
	return o, body, err
}

func (s *store) remove(bucket, key string) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if b := tx.Bucket(data).Bucket([]byte(bucket)); b != nil {
			return b.Delete([]byte(key))
		}
		return ErrNoObject
	})
}

// listQuery asks for a page of a list: at most limit entries with the prefix,
// after one key or, rolled up, after all keys that begin with it. Keys that
// have the delimiter after the prefix are one entry for each common beginning.
type listQuery struct {
	prefix, delimiter, after string
	rolledUp                 bool
	limit                    int
}

// listPage is a page; last is its last entry, after which the next one starts.
type listPage struct {
	objects      []Object
	prefixes     []string
	last         string
	lastRolledUp bool
	more         bool
}

func (s *store) list(bucket string, q listQuery) (page listPage, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(data).Bucket([]byte(bucket))
		if b == nil {
			return ErrNoObject
		}
		if q.limit == 0 {
			return nil
		}
		c := b.Cursor()
		from := []byte(max(q.prefix, q.after))
		if q.rolledUp && q.after >= q.prefix {
			from = beyond(q.after)
		}
		for k, v := seek(c, from); k != nil && strings.HasPrefix(string(k), q.prefix); {
			key := string(k)
			if !q.rolledUp && q.after != "" && key <= q.after {
				k, v = c.Next()
				continue
			}
			if len(page.objects)+len(page.prefixes) == q.limit {
				page.more = true
				return nil
			}
			if n := strings.Index(key[len(q.prefix):], q.delimiter); q.delimiter != "" && n >= 0 {
				page.last, page.lastRolledUp = key[:len(q.prefix)+n+len(q.delimiter)], true
				page.prefixes = append(page.prefixes, page.last)
				k, v = seek(c, beyond(page.last))
				continue
			}
			page.last, page.lastRolledUp = key, false
			page.objects = append(page.objects, describe(key, v))
			k, v = c.Next()
		}
		return nil
	})
	return page, err
}

// beyond is the least key after all that begin with p, or nil if there is
// none.
func beyond(p string) []byte {
	b := []byte(p)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

// seek finds the first key that is not before from; a nil from is the end.
func seek(c *bolt.Cursor, from []byte) (k, v []byte) {
	if from == nil {
		return nil, nil
	}
	return c.Seek(from)
}

func (s *store) bucketsOf(owner tenant.ID) (names []string, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(owners).ForEach(func(k, v []byte) error {
			if string(v) == owner.String() {
				names = append(names, string(k))
			}
			return nil
		})
	})
	sort.Strings(names)
	return names, err
}

func describe(key string, v []byte) Object {
	return Object{
		Key: key, Size: int64(len(v) - headerLen),
		ETag:     hex.EncodeToString(v[8:headerLen]),
		Modified: time.Unix(0, int64(binary.BigEndian.Uint64(v))).UTC(),
	}
}

// keyFile is one access key of a tenant's user in the customer's own cloud.
type keyFile struct {
	Tenant tenant.ID `json:"tenant"`
	Bucket string    `json:"bucket"`
	Secret []byte    `json:"secret"` // sealed
}

func readKeyFile(dir, accessKeyID string) (keyFile, error) {
	var k keyFile
	b, err := os.ReadFile(filepath.Join(dir, accessKeyID+".json"))
	if err != nil {
		return k, err
	}
	return k, json.Unmarshal(b, &k)
}
