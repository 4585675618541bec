package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/server"
	"github.com/deedbroker/deed/broker/telemetry"
)

func newServeCommand(env *environment) *cobra.Command {
	var path, format, profile, replica string
	var debug, demoIssuer, withDemo bool
	c := &cobra.Command{
		Use: "serve", Short: "Run the broker", Args: cobra.NoArgs,
		Long: `Run the broker that deed.yaml describes, until SIGTERM or ctrl-C. Running calls
then end, or are recorded as unknown; held calls stay held.

SIGHUP reads the configuration and the policies again. They are type-checked
first: if something is wrong, what was in force stays in force.

Any number of brokers can share a log on Pulsar, each with a name of its own.`,
		Example: "  deed serve -c deed.yaml\n  deed serve -c deed.yaml --replica berlin-1\n  kill -HUP $(pidof deed)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if err := refuseDemoIssuers(cfg, demoIssuer || withDemo); err != nil {
				return err
			}
			if replica, err = replicaName(cfg, firstOf(replica, env.getenv("DEED_REPLICA"))); err != nil {
				return err
			}
			level := slog.LevelInfo
			if debug {
				level = slog.LevelDebug
			}
			tel, err := telemetry.Setup(telemetry.Config{Output: env.stderr, Format: format, Level: level, Version: version(), Replica: replica})
			if err != nil {
				return usage("%w", err)
			}
			defer func() { _ = tel.Shutdown(context.WithoutCancel(cmd.Context())) }()
			spareCollector()
			served := func() error {
				return profiled(profile, func() error { return serve(cmd.Context(), path, replica, cfg, tel) })
			}
			if withDemo {
				return env.withDemoIssuer(cmd.Context(), cfg, served)
			}
			return served()
		},
	}
	configFlag(c, &path)
	c.Flags().StringVar(&format, "log-format", telemetry.FormatText, "of log lines: text or json")
	c.Flags().StringVar(&replica, "replica", "", "this broker's name among those that share a log on Pulsar; always the same, and nobody else's (default $DEED_REPLICA, else the host's name)")
	c.Flags().BoolVar(&debug, "debug", false, "log more")
	c.Flags().StringVar(&profile, "cpu-profile", "", "write a CPU profile of the whole run to this file, for go tool pprof")
	c.Flags().BoolVar(&withDemo, "demo-issuer", false, "run the demo issuer that the configuration names, at which anyone on this machine is anyone: for a desktop of one's own")
	c.Flags().BoolVar(&demoIssuer, "allow-demo-issuer", false, "accept tokens of a demo issuer on this machine, at which anyone is anyone: for tests")
	return c
}

// replicaName is what the broker calls itself in its events.
func replicaName(cfg *config.Config, name string) (string, error) {
	switch {
	case name != "" && !replicaNames.MatchString(name):
		return "", usage("replica %q: a name has letters, digits, dots and dashes, 63 at most", name)
	case name != "":
		return name, nil
	case cfg.Log.Pulsar == nil:
		return server.DefaultReplica, nil
	}
	host, err := os.Hostname()
	if err != nil || !replicaNames.MatchString(host) {
		return "", usage("the host's name %q is none for a replica; say --replica", host)
	}
	return host, nil
}

var replicaNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)

// refuseDemoIssuers keeps an issuer that signs in anyone from being accepted by accident.
func refuseDemoIssuers(cfg *config.Config, allowed bool) error {
	for _, i := range cfg.Issuers {
		if !allowed && demo.IsURL(i.URL) {
			return withHint(usage("issuer %s is a demo issuer: whoever reaches it signs in as anyone", i.URL),
				"configure your identity provider, or use `deed demo`; for tests there is --allow-demo-issuer")
		}
	}
	return nil
}

func serve(ctx context.Context, path, replica string, cfg *config.Config, tel *telemetry.Telemetry) error {
	srv, err := server.Open(ctx, cfg, server.Options{
		Version: version(), Replica: replica, Logger: tel.Logger, Meter: tel.Meter, Tracer: tel.Tracer, Metrics: tel.Metrics,
	})
	if errors.Is(err, audit.ErrLocked) {
		return withHint(err, "stop the other one, or give this one another `data` directory or, on Pulsar, another --replica name")
	}
	if other, ok := errors.AsType[*broker.KeyError](err); ok {
		return withHint(err, "all replicas need the key of "+other.InForce+": copy keys/checkpoints.key from the data directory of one that runs, or name it by log.pulsar.seal_key")
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return withHint(err, "something else listens there: set `listen` to another address")
	}
	if err != nil {
		return err
	}
	reloading, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		reloadOnHangup(reloading, path, srv, tel.Logger)
	}()
	err = srv.Run(ctx)
	end()
	<-done
	if errors.Is(err, audit.ErrFenced) {
		return withHint(err, "it was not heard of for so long that another replica took it for dead and closed what it was running as unknown: start it again")
	}
	return err
}

// reloadOnHangup puts the configuration in force again at each SIGHUP.
func reloadOnHangup(ctx context.Context, path string, srv *server.Server, logger *slog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			cfg, err := config.Load(path)
			if err == nil {
				err = srv.Reload(ctx, cfg)
			}
			if err != nil {
				logger.LogAttrs(ctx, slog.LevelError, "not reloaded, what was in force stays",
					slog.String("error", strings.TrimSpace(err.Error())))
			}
		}
	}
}
