package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/broker/config"
)

// withDemoIssuer runs the demo issuer that the configuration names while serve runs. Whoever can
// reach it on this machine is who they say: it is for a desktop of one's own.
func (e *environment) withDemoIssuer(ctx context.Context, cfg *config.Config, serve func() error) error {
	at := slices.IndexFunc(cfg.Issuers, func(i config.Issuer) bool { return demo.IsURL(i.URL) })
	if at < 0 {
		return withHint(usage("no issuer in the configuration is a demo issuer"), "write issuers: [{ url: "+demo.DefaultURL+", people_clients: [deed-cli, deed-console] }]")
	}
	dir, err := e.demoDir()
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the broker
	defer stop()
	issuer, err := demo.Start(running, demo.Config{
		URL: cfg.Issuers[at].URL, Resources: []string{cfg.Audience()}, ConsoleRedirects: []string{cfg.URL + "/callback"},
	})
	if err != nil {
		return err
	}
	if err = demo.SaveSecrets(filepath.Join(dir, secretsName), issuer.Secrets()); err == nil {
		err = serve()
	}
	stop()
	return errors.Join(err, issuer.Wait())
}
