// Package push sends notifications to the browsers of approvers: Web Push (RFC 8030),
// encrypted for the browser alone (RFC 8291), signed by a key of the brokers' own (VAPID,
// RFC 8292).
//
// A person subscribes a browser with their own login, and again whenever the console is
// opened: a subscription that is not renewed for a month, that its push service has
// forgotten, or whose person was revoked, is dropped. Each message goes to those who may
// decide on the call by the policies of now.
//
// Subscriptions stand in a file of the replica that took them, and it alone uses them:
// each replica pushes to its own, whoever sends on the other channels. A browser that
// two replicas know shows one notification, since both have the same tag.
//
// Where a push service is asked to be is for the browser to say, so that the brokers go to
// known ones only, over https and at public addresses.
//
// # The contract with the console's service worker
//
// The payload is JSON, at most 3000 bytes. The worker shows one notification for each tag,
// which replaces the one before, and opens url when it is touched. It has no actions:
// deciding takes a login.
//
//	{
//	  "v": 1,
//	  "tag": "0191…",                 the call; the same for all that is said of it
//	  "state": "held",                or approved, denied, expired, cancelled, unknown; digest; test
//	  "title": "Approval needed: payments.refund",
//	  "body": "Refund 250 EUR of pay-1 …",
//	  "url": "https://deed.example/#/calls/0191…",
//	  "deadline": "2026-11-27T14:05:00Z",    of the hold; after it the notification says nothing that is so
//	  "renotify": true                       false: replace what is shown without a sound
//	}
//
// The console gets the key for PushManager.subscribe from GET /v1/push, gives what
// PushSubscription.toJSON() says to POST /v1/push, and takes it back with DELETE /v1/push.
package push
