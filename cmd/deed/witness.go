package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/witness"
)

// drain is how long a witness that was told to stop answers those whom it has heard.
const drain = 5 * time.Second

func newWitnessCommand(env *environment) *cobra.Command {
	var listen, key, name, data string
	var logs []string
	c := &cobra.Command{
		Use: "witness", Short: "Sign other people's checkpoints, so that none can show two histories", Args: cobra.NoArgs,
		Long: `Run a witness: it signs the checkpoints of the logs whose keys it is given, and never
one that does not extend what it signed before. It speaks C2SP tlog-witness, so that any
such log can ask it, and its signatures are C2SP cosignatures. Run it elsewhere than the
broker, by somebody else than who runs that.

A key of a tenant, deed/acme+…, stands for all its logs. What was signed is kept in the
data directory, durably before each answer; without it a witness knows nothing, so keep
it with the key. A broker asks whom its deed.yaml names:

  witnesses:
    servers: [{ url: "https://witness.example.org", key: "witness.example.org+…" }]

An auditor then asks for the witness by deed verify --witness.`,
		Example: `  deed witness --name witness.example.org --data /var/lib/witness --log 'deed/acme+1f8b2c3d+AZ…'
  deed witness --name witness.example.org --listen 127.0.0.1:9000 --key /etc/witness/witness.key --log "$(cat checkpoints.pub)"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			known, err := parseLogs(logs)
			if err != nil {
				return err
			}
			if name == "" || data == "" {
				return usage("--name and --data are needed")
			}
			cosigner, err := seal.LoadOrCreateCosigner(firstOf(key, filepath.Join(data, "keys", "witness.key")), name)
			if err != nil {
				return err
			}
			return env.witness(cmd.Context(), listen, filepath.Join(data, "signed"), cosigner, known)
		},
	}
	flags := c.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:8650", "`address` to listen at; put TLS before it")
	flags.StringVar(&name, "name", "", "the witness's `name`, which reads like a URL without a scheme")
	flags.StringVar(&data, "data", "", "`directory` of what was signed")
	flags.StringVar(&key, "key", "", "`file` of its key, made if need be (default keys/witness.key in the data directory)")
	flags.StringArrayVar(&logs, "log", nil, "the verifier `key` of a log, or of a tenant, that it signs for; may be repeated")
	return c
}

func parseLogs(texts []string) ([]witness.Log, error) {
	if len(texts) == 0 {
		return nil, withHint(usage("--log is needed"), "name the key of whoever asks, such as what is in keys/checkpoints.pub of a broker's data directory")
	}
	var logs []witness.Log
	for _, text := range texts {
		v, err := note.NewVerifier(text)
		if err != nil {
			return nil, usage("--log is not a verifier key: %w", err)
		}
		logs = append(logs, witness.Log{Key: v})
	}
	return logs, nil
}

// witness serves until ctx is done.
func (e *environment) witness(ctx context.Context, listen, dir string, cosigner *seal.Cosigner, logs []witness.Log) (err error) {
	logger := slog.New(slog.NewTextHandler(e.stderr, nil))
	server, err := witness.NewServer(dir, cosigner, logs, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler: server, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	if err := e.announceWitness(listener.Addr().String(), cosigner.Key()); err != nil {
		return errors.Join(err, listener.Close())
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err = s.Shutdown(end)
	if ended := <-failed; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

func (e *environment) announceWitness(addr string, key seal.WitnessKey) error {
	if e.json {
		return e.printJSON(map[string]string{"listen": addr, "key": key.String()})
	}
	e.printf("witness %s listens at %s\nkey: %s\n", plain(key.Name()), addr, plain(key.String()))
	return nil
}
