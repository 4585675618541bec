package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/provision"
)

// cluster starts a Pulsar of six nodes, or finds the one that runs, and prints where it is.
// It stays up until testbed down, or the end of a testbed test.
func cluster(ctx context.Context, stdout, stderr io.Writer) error {
	cache, err := provision.Dir()
	if err != nil {
		return err
	}
	servers, err := provision.Servers()
	if err != nil {
		return err
	}
	d, err := pulsar.Install(ctx, &provide.Cache{Dir: cache})
	if err != nil {
		return err
	}
	dir := filepath.Join(servers.Dir, "cluster")
	c, err := pulsar.NewCluster(ctx, d, dir)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stderr, "testbed: ZooKeeper, three bookies and two brokers start, which takes a minute"); err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "export PULSAR_URL='%s'\nexport PULSAR_ADMIN='%s'\nexport PULSAR_TOKEN_FILE='%s'\n",
		c.URL(), c.Admin(), c.Keys.Path(pulsar.SuperuserToken))
	return err
}
