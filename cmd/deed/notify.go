package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/server"
)

// notifyWait is how long a test message may take.
const notifyWait = 30 * time.Second

func newNotifyCommand(env *environment) *cobra.Command {
	return family("notify", "See that people can be told of calls that wait for them", "", newNotifyTestCommand(env))
}

func newNotifyTestCommand(env *environment) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "test CHANNEL",
		Short: "Send a test message on a channel of deed.yaml",
		Long: `Send one message on a channel of notify.channels, now, whatever its limit and quiet hours,
and say what came of it. A channel that pushes sends to every browser that this data
directory knows. No broker has to run.`,
		Example: `  deed notify test leads-mail -c deed.yaml`,
		Args:    cobra.ExactArgs(1),
	}
	configFlag(c, &path)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(path)
		if err != nil {
			return env.problems(err)
		}
		channels, _, err := server.Channels(cfg, nil)
		if err != nil {
			return usage("%w", err)
		}
		channel, known := channels[args[0]]
		if !known {
			return withHint(usage("there is no channel %s", plain(args[0])), channelsHint(channels))
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), notifyWait)
		defer cancel()
		now := time.Now().UTC()
		id := "test." + now.Format("20060102T150405.000000000")
		m := notify.Message{ID: id, Thread: id, State: notify.Test, Time: now, Link: cfg.URL + "/#/inbox"}
		if err := channel.Send(ctx, m); err != nil {
			return &exit{code: exitFailed, err: fmt.Errorf("channel %s: %w", plain(args[0]), err)}
		}
		if env.json {
			return env.printJSON(map[string]any{"ok": true, "channel": args[0], "id": id})
		}
		env.printf("sent: %s by %s\n", id, plain(args[0]))
		return nil
	}
	return c
}

func channelsHint(channels map[string]notify.Limited) string {
	if len(channels) == 0 {
		return "deed.yaml names none: add notify.channels"
	}
	return "deed.yaml names " + plain(strings.Join(slices.Sorted(maps.Keys(channels)), ", "))
}
