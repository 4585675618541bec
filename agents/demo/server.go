package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is an issuer that listens.
type Server struct {
	*Issuer

	http  *http.Server
	group sync.WaitGroup
	err   error // set before group is done
}

// Start listens at the configured address, which must be loopback, until ctx is
// done. Port 0 takes a free one; [Issuer.URL] tells which. The caller waits for the
// end with [Server.Wait].
func Start(ctx context.Context, config Config) (*Server, error) {
	config = config.withDefaults()
	u, err := parseURL(config.URL)
	if err != nil {
		return nil, fmt.Errorf("start demo issuer: %w", err)
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("start demo issuer: %w", err)
	}
	u.Host = listener.Addr().String()
	config.URL = u.String()
	issuer, err := New(config)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &Server{Issuer: issuer, http: &http.Server{
		Handler: issuer, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
	}}
	failed := make(chan error, 1)
	s.group.Go(func() { failed <- s.http.Serve(listener) })
	s.group.Go(func() { s.err = s.untilDone(ctx, failed) })
	return s, nil
}

// untilDone stops the server with ctx, and says why it stopped otherwise.
func (s *Server) untilDone(ctx context.Context, failed <-chan error) error {
	select {
	case err := <-failed:
		return fmt.Errorf("serve demo issuer: %w", err)
	case <-ctx.Done():
	}
	const grace = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // whoever is connected still has had time enough
	}
	if err != nil {
		return fmt.Errorf("stop demo issuer: %w", err)
	}
	return nil
}

// Wait returns when the server has stopped: nil if it was told to.
func (s *Server) Wait() error {
	s.group.Wait()
	return s.err
}
