package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/deedbroker/deed/audit/export"
)

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// HTTP is where and how something is posted. What the client may reach is its maker's
// matter.
type HTTP struct {
	URL    string
	Client *http.Client
	// Token is sent as a bearer token, asked for at each attempt; nil for none.
	Token func(ctx context.Context) (string, error)
}

// OTLP sends log records by OTLP over HTTP.
type OTLP struct {
	HTTP    HTTP
	Version string // of Deed
}

// Send is part of [Target].
func (o *OTLP) Send(ctx context.Context, entries []*export.Entry) error {
	logs, err := export.OTLP(entries, o.Version)
	if err != nil {
		return err
	}
	var request collector.ExportLogsServiceRequest // which has the fields of LogsData
	if err := protojson.Unmarshal(logs, &request); err != nil {
		return fmt.Errorf("make OTLP: %w", err)
	}
	body, err := proto.Marshal(&request)
	if err != nil {
		return fmt.Errorf("make OTLP: %w", err)
	}
	answer, err := o.HTTP.post(ctx, http.Header{"Content-Type": {"application/x-protobuf"}}, body)
	if err != nil {
		return err
	}
	var response collector.ExportLogsServiceResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return errors.New("send OTLP: the answer is not one to logs")
	}
	if rejected := response.GetPartialSuccess().GetRejectedLogRecords(); rejected > 0 {
		return fmt.Errorf("send OTLP: %d of %d records were rejected: %.200q", rejected, len(entries), response.GetPartialSuccess().GetErrorMessage())
	}
	return nil
}

// Close is part of [Target].
func (o *OTLP) Close() error { o.HTTP.Client.CloseIdleConnections(); return nil }

func (h *HTTP) post(ctx context.Context, header http.Header, body []byte) (_ []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	if h.Token != nil {
		token, err := h.Token(ctx)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := h.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, fmt.Errorf("HTTP %d: %.200q", response.StatusCode, answer)
	}
	return answer, nil
}
