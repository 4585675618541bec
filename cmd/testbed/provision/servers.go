package provision

import (
	"context"
	"path/filepath"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/provide/keycloak"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// Servers is where the servers run that tests start when they need them.
func Servers() (*provide.Servers, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	return &provide.Servers{Dir: filepath.Join(dir, "servers")}, nil
}

// pulsarDistribution installs Pulsar. The first test that needs it starts it.
func pulsarDistribution(ctx context.Context, c *provide.Cache) (Env, error) {
	d, err := pulsar.Install(ctx, c)
	if err != nil {
		return nil, err
	}
	servers, err := Servers()
	if err != nil {
		return nil, err
	}
	return Env{need.PulsarHome: d.Dir, need.Servers: servers.Dir}, nil
}

// keycloakDistribution installs Keycloak. The first test that needs it starts it.
func keycloakDistribution(ctx context.Context, c *provide.Cache) (Env, error) {
	dir, err := keycloak.Install(ctx, c)
	if err != nil {
		return nil, err
	}
	servers, err := Servers()
	if err != nil {
		return nil, err
	}
	return Env{need.KeycloakHome: dir, need.Servers: servers.Dir}, nil
}
