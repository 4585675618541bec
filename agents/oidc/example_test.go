package oidc_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/oidc"
)

func Example() {
	verifier, err := oidc.New(oidc.Config{
		Audience: "https://deed.acme.example/mcp",
		Issuers: []oidc.Issuer{{
			URL:           "https://idp.acme.example/realms/acme",
			Claims:        oidc.Claims{Roles: "realm_access.roles", Agent: "azp"},
			PeopleClients: []string{"deed-cli", "deed-console"},
		}},
		Agents: map[string]oidc.Agent{"copilot": {Roles: []string{"assistant"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	stop() // here the issuer is never reached
	var group sync.WaitGroup
	group.Go(func() { err = verifier.Run(ctx) })
	group.Wait()

	_, rejection := verifier.Verify(ctx, agents.Credential{Token: "not-a-token"})
	fmt.Println(err, rejection)
	// Output: <nil> token rejected: malformed: not three parts
}
