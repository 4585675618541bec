package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/deedbroker/deed/agents"
	issuer "github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/server"
	"github.com/deedbroker/deed/broker/telemetry"
)

// Where the demo listens unless told otherwise.
const (
	DefaultListen = "127.0.0.1:8642"
	DefaultIssuer = "127.0.0.1:8643"
)

// Options of a demo.
type Options struct {
	Data    string // directory; made if it is not there, resumed if it is
	Listen  string // of the broker: a loopback host and port; port 0 takes a free one
	Issuer  string // of the demo issuer, likewise
	Pulsar  bool   // keep the log on a Pulsar that the demo starts, instead of in a file
	JSON    bool   // say where everything is in one line, and show nothing
	Version string
	Command string    // how to call deed, for what is shown
	Out     io.Writer // what is shown
	Log     io.Writer // the broker's log lines

	log string // of the configuration: where the log is
}

// Ready is the line that JSON prints once everything is up.
type Ready struct {
	MCP         string `json:"mcp"`
	Console     string `json:"console"`
	Issuer      string `json:"issuer"`
	Data        string `json:"data"`
	VerifierKey string `json:"verifier_key"`
}

// Run starts everything, shows an agent at work unless JSON is set, and stays up until
// ctx is done. What it leaves in Data is found again by the next run.
func Run(ctx context.Context, o Options) error {
	var err error
	if o.Listen, err = freePort(ctx, o.Listen); err != nil {
		return err
	}
	if o.Issuer, err = freePort(ctx, o.Issuer); err != nil {
		return err
	}
	if o.Pulsar {
		return onPulsar(ctx, o)
	}
	cfg, err := prepare(o, "")
	if err != nil {
		return err
	}
	return run(ctx, o, cfg)
}

// onPulsar is a demo whose log is on Pulsar, which stops with it.
func onPulsar(ctx context.Context, o Options) (err error) {
	if err := makeDirs(o); err != nil {
		return err
	}
	s, err := startPulsar(ctx, o)
	if s != nil {
		defer func() { err = errors.Join(err, s.Stop(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return err
	}
	o.log = logText(s)
	cfg, err := prepare(o, o.log)
	if err != nil {
		return err
	}
	if err := applyTopics(ctx, s, cfg); err != nil {
		return err
	}
	return run(ctx, o, cfg)
}

func run(ctx context.Context, o Options, cfg *config.Config) error {
	tel, err := telemetry.Setup(telemetry.Config{Output: o.Log, Version: o.Version, Replica: server.DefaultReplica}) //nolint:contextcheck // outlives ctx, to tell of the end
	if err != nil {
		return err
	}
	defer func() { _ = tel.Shutdown(context.WithoutCancel(ctx)) }()

	idp, stop := context.WithCancel(context.WithoutCancel(ctx)) // the issuer outlives the broker
	defer stop()
	var broker atomic.Pointer[server.Server] // which records what the issuer refuses
	iss, err := startIssuer(idp, o, cfg, func(ctx context.Context) {
		if s := broker.Load(); s != nil {
			s.Reject(ctx, &agents.Rejection{Kind: agents.Widened, Issuer: issuerURL(o)})
		}
	})
	if err != nil {
		return err
	}
	srv, err := server.Open(ctx, cfg, server.Options{
		Version: o.Version, Logger: tel.Logger, Meter: tel.Meter, Tracer: tel.Tracer, Metrics: tel.Metrics,
	})
	if err != nil {
		stop()
		return errors.Join(err, iss.Wait())
	}
	broker.Store(srv)
	ready := Ready{
		MCP: cfg.Audience(), Console: cfg.URL + "/", Issuer: iss.URL(), Data: o.Data, VerifierKey: srv.VerifierKey(),
	}
	err = serve(ctx, o, cfg, srv, iss, ready)
	stop()
	return errors.Join(err, iss.Wait())
}

// serve runs the server, and beside it the show.
func serve(ctx context.Context, o Options, cfg *config.Config, srv *server.Server, iss *issuer.Server, ready Ready) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- srv.Run(ctx) }()
	shown := make(chan error, 1)
	go func() { shown <- show(ctx, o, cfg, srv, iss, ready) }()
	for {
		select {
		case err := <-served:
			cancel()
			return errors.Join(err, ignoreEnd(<-shown))
		case err := <-shown:
			if ignoreEnd(err) != nil {
				cancel()
				return errors.Join(err, <-served)
			}
			shown <- nil // for the end
			return <-served
		}
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func show(ctx context.Context, o Options, cfg *config.Config, srv *server.Server, iss *issuer.Server, ready Ready) error {
	select {
	case <-srv.Serving():
	case <-ctx.Done():
		return nil
	}
	if err := announce(o, iss); err != nil {
		return err
	}
	if o.JSON {
		if err := json.NewEncoder(o.Out).Encode(ready); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	return (&scene{Options: o, cfg: cfg, ready: ready, issuer: iss}).play(ctx)
}
