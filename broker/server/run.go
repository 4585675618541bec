package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// readyWait is how long Run waits for upstreams and issuers before it serves without them.
const readyWait = 10 * time.Second

// Run serves until ctx is done, or until something that the broker cannot do without
// fails. It returns once everything has stopped and the log is closed.
func (s *Server) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	// What stands below the broker stops after it: calls that are running still need it.
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	below, base := errgroup.WithContext(base)
	below.Go(func() error { return s.registry.Run(base) })
	below.Go(func() error { return s.index.Run(base, s.log, s.log) })
	below.Go(func() error { return s.verifier.run(base) })
	for _, one := range s.sinks {
		below.Go(func() error { return one.Run(base) })
	}
	if s.witnesses != nil {
		below.Go(func() error { return s.witnesses.Run(base) })
	}
	sealed, endSealing := s.seal(ctx, stopBase)
	s.awaitReady(ctx)

	stopping, stop := context.WithCancel(ctx)
	defer stop()
	above, stopping := errgroup.WithContext(stopping)
	above.Go(func() error { return s.broker.Run(stopping, Grace) })
	above.Go(func() error { return s.hub.Run(stopping) })
	above.Go(func() error { return s.retain(stopping) })
	above.Go(func() error { return s.tell(stopping) })
	above.Go(func() error { return s.serve(stopping) })
	s.serving.Store(true)
	close(s.up)
	s.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("listen", s.Addr().String()), slog.String("url", s.cfg.URL))

	select {
	case <-stopping.Done():
	case <-base.Done():
	}
	s.serving.Store(false)
	stop()
	err = above.Wait()
	stopBase()
	err = errors.Join(err, below.Wait())
	endSealing()
	return errors.Join(err, <-sealed)
}

// seal signs checkpoints until end is called, which is after whatever writes to the
// log has stopped, so that nothing is left unsealed. A log that cannot be sealed any
// more stops the server.
func (s *Server) seal(ctx context.Context, stopServer func()) (sealed <-chan error, end func()) {
	ctx, end = context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		done <- s.sealer.Run(ctx)
		stopServer()
	}()
	return done, end
}

// Serving is closed once requests are answered.
func (s *Server) Serving() <-chan struct{} { return s.up }

// serve answers requests until ctx is done, then waits for those under way.
func (s *Server) serve(ctx context.Context) error {
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.opt.Logger.Handler(), slog.LevelDebug),
		// No WriteTimeout: calls wait for people. The edges set deadlines of their own.
	}
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace+farewell)
	defer cancel()
	err := s.mcp.Close(end)
	if down := s.http.Shutdown(end); down != nil {
		err = errors.Join(err, s.http.Close())
	}
	if ended := <-failed; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// awaitReady gives upstreams and issuers a moment, so that the first calls find
// them. Those that take longer are used when they come up.
func (s *Server) awaitReady(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for _, err := range []error{s.registry.WaitReady(ctx), s.verifier.now.Load().WaitReady(ctx)} {
		if err != nil {
			s.opt.Logger.LogAttrs(ctx, slog.LevelWarn, "serving before all is ready", slog.Any("error", err))
		}
	}
}
