// Package s3 keeps archives in a bucket of an S3-compatible object store.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/deedbroker/deed/audit/archive"
)

// partBytes is how much of a file is in memory on its way.
const partBytes = 16 << 20

// Options say how a store is reached. What is left out is as the AWS tools have it: in
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials.
type Options struct {
	Endpoint string // https://host[:port]; AWS if empty. http is for this machine's own addresses
	Region   string
}

// Store is a part of a bucket.
type Store struct {
	client         *minio.Client
	bucket, prefix string
}

var _ archive.Store = (*Store)(nil)

// IsURL reports whether a place is written as one of this package.
func IsURL(place string) bool { return strings.HasPrefix(place, "s3://") }

// New returns the store at s3://bucket/prefix. Nothing is asked of it yet.
func New(place string, o Options) (*Store, error) {
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("open store: %.100q is not of the form s3://bucket/prefix", place)
	}
	host, secure, err := endpoint(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	client, err := minio.New(host, &minio.Options{
		Creds:  credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}),
		Secure: secure, Region: o.Region,
	})
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Store{client: client, bucket: u.Host, prefix: prefix}, nil
}

func endpoint(text string) (host string, secure bool, err error) {
	if text == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return "", false, fmt.Errorf("the endpoint %.100q is not of the form https://host[:port]", text)
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return "", false, errors.New("the endpoint must be https: archives would cross the network in the clear")
	}
	return u.Host, u.Scheme == "https", nil
}

// Create is [archive.Store.Create]: the object is there once the last part has been put.
func (s *Store) Create(ctx context.Context, name string) (archive.File, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	f := &object{PipeWriter: w, cancel: cancel, done: make(chan error, 1)}
	go func() {
		_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, r, -1, minio.PutObjectOptions{
			PartSize: partBytes, DisableContentSha256: true, // the transport protects it, and whoever reads it back verifies it
		})
		_ = r.CloseWithError(err) // never fails; whoever writes is told
		f.done <- err
	}()
	return f, nil
}

// object is one that is being put.
type object struct {
	*io.PipeWriter

	cancel context.CancelFunc
	done   chan error // holds one answer
}

// Close waits until the object is there.
func (o *object) Close() error {
	defer o.cancel()
	return errors.Join(o.PipeWriter.Close(), <-o.done)
}

var errAbandoned = errors.New("abandoned")

// Abandon ends the putting: no object is made.
func (o *object) Abandon() {
	o.cancel()
	_ = o.CloseWithError(errAbandoned) // never fails
	<-o.done                           //nolint:errcheck // it was not to be
}

// Open is [archive.Store.Open].
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	o, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err == nil {
		_, err = o.Stat() // nothing is asked before
	}
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		err = fmt.Errorf("%w: s3://%s/%s%s", fs.ErrNotExist, s.bucket, s.prefix, name)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}
