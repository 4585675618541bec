// Package pulsarbench measures what Pulsar's own client does without Deed: what the log
// on Pulsar is compared with.
package pulsarbench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/log"
	"golang.org/x/sync/errgroup"
)

// Publish has writers publish messages of so many bytes to a topic, each waiting for the
// acknowledgement of one before it sends the next, for as long as limit says. It returns
// how long each took. Nothing is batched, as a log's events are not.
func Publish(ctx context.Context, url, tokenFile, topic string, writers, size int, limit time.Duration) (_ []time.Duration, err error) {
	client, err := pulsar.NewClient(pulsar.ClientOptions{
		URL: url, Authentication: pulsar.NewAuthenticationTokenFromFile(tokenFile), Logger: log.NewLoggerWithSlog(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	defer client.Close()
	producer, err := client.CreateProducer(pulsar.ProducerOptions{Topic: topic, DisableBatching: true, SendTimeout: -1})
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	defer producer.Close()
	body, took := make([]byte, size), make([][]time.Duration, writers)
	deadline := time.Now().Add(limit)
	g, ctx := errgroup.WithContext(ctx)
	for i := range writers {
		g.Go(func() error {
			for time.Now().Before(deadline) {
				start := time.Now()
				if _, err := producer.Send(ctx, &pulsar.ProducerMessage{Payload: body}); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(start))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	if len(all) == 0 {
		return nil, errors.New("publish: nothing was acknowledged")
	}
	return all, nil
}
