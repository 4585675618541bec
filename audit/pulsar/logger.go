package pulsar

import (
	"context"
	"log/slog"

	"github.com/apache/pulsar-client-go/pulsar/log"
)

// quiet is the client's logger. What the client does about a broker that is away is
// its ordinary work: it is shown when somebody looks for it, as is what it calls an
// error, since whoever asked for it is told.
type quiet struct{ slog.Handler }

func clientLogger(l *slog.Logger) log.Logger {
	return log.NewLoggerWithSlog(slog.New(quiet{l.Handler()}))
}

func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
