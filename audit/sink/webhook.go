package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/deedbroker/deed/audit/export"
)

// WebhookType is the type of what a [Webhook] sends.
const WebhookType = "dev.deed.calls.v1"

// Webhook posts calls, as OCSF documents, in the form of Standard Webhooks, signed.
type Webhook struct {
	HTTP    HTTP
	Secret  func(ctx context.Context) (string, error) // signs: whsec_ and base64; asked for at each attempt
	Version string
}

// Send is part of [Target]. The same calls have the same webhook-id when they come again.
func (w *Webhook) Send(ctx context.Context, entries []*export.Entry) error {
	body, err := w.body(entries)
	if err != nil {
		return err
	}
	secret, err := w.Secret(ctx)
	if err != nil {
		return err
	}
	signer, err := webhooks.NewWebhook(secret)
	if err != nil {
		return fmt.Errorf("sign webhook: the secret is not whsec_ and base64")
	}
	id, now := "deed_"+entries[len(entries)-1].Call.ID, time.Now()
	signature, err := signer.Sign(id, now, body)
	if err != nil {
		return fmt.Errorf("sign webhook: %w", err)
	}
	_, err = w.HTTP.post(ctx, http.Header{
		"Content-Type":                  {"application/json"},
		webhooks.HeaderWebhookID:        {id},
		webhooks.HeaderWebhookTimestamp: {strconv.FormatInt(now.Unix(), 10)},
		webhooks.HeaderWebhookSignature: {signature},
	}, body)
	return err
}

func (w *Webhook) body(entries []*export.Entry) ([]byte, error) {
	calls := make([]json.RawMessage, len(entries))
	for i, e := range entries {
		var b bytes.Buffer
		if err := export.NewOCSF(&b, w.Version).Call(e); err != nil {
			return nil, err
		}
		calls[i] = bytes.TrimSpace(b.Bytes())
	}
	return json.Marshal(map[string]any{
		"type": WebhookType, "timestamp": entries[len(entries)-1].Ended().Format(time.RFC3339Nano), "data": map[string]any{"calls": calls},
	})
}

// Close is part of [Target].
func (w *Webhook) Close() error { w.HTTP.Client.CloseIdleConnections(); return nil }
