// Package client is what an agent, or a script, uses to call tools through a broker.
//
//	c, err := client.New(client.Options{URL: "https://deed.acme.example", Token: token})
//	…
//	result, err := c.Call(ctx, "payments.refund", arguments, client.CallOptions{})
//
// A call has one of three ends. The tool answered: the [Result] has its words, and
// whether it calls them an error. People have to decide first: the Result has
// [Pending] set, and [Client.Await] asks again, or [Waiting].Wait has the call
// itself wait. Or the broker refused or failed: that is an [*Error], whose [Kind] says
// what can be done about it and whose reasons name the policies that decided.
//
// It speaks the Model Context Protocol over Streamable HTTP as any client can: by default
// revision 2026-07-28, which needs no handshake, so that one call is one request.
package client
