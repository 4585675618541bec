package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/deedbroker/deed/broker/notify"
)

// Slack sends messages in the form of Slack's incoming webhooks. These cannot be edited:
// what becomes of a call is a message of its own.
type Slack struct {
	url Text

	mu     sync.Mutex
	known  string       // guarded by mu: the address that client is for
	client *http.Client // guarded by mu
}

var _ notify.Channel = (*Slack)(nil)

// NewSlack returns a channel to the address that url gives, which is a secret.
func NewSlack(url Text) *Slack { return &Slack{url: url} }

// Send implements [notify.Channel].
func (s *Slack) Send(ctx context.Context, m notify.Message) error {
	to, err := s.url(ctx)
	if err != nil {
		return fmt.Errorf("slack: %w", err)
	}
	client, err := s.reach(to)
	if err != nil {
		return fmt.Errorf("slack: %w", err)
	}
	body, err := json.Marshal(posted(m))
	if err != nil {
		return fmt.Errorf("slack: %w: %w", notify.ErrRefused, err)
	}
	return post(ctx, client, to, body, nil)
}

func (s *Slack) reach(to string) (*http.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == to {
		return s.client, nil
	}
	made, err := client(to)
	if err == nil {
		s.known, s.client = to, made
	}
	return made, err
}

// text is a text object of Block Kit. Plain text is shown as it stands: no links, no
// emoji, nobody is called.
type text struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji *bool  `json:"emoji,omitempty"`
}

type block struct {
	Type string `json:"type"`
	Text *text  `json:"text,omitempty"`
}

type slackMessage struct {
	Text        string  `json:"text"` // for notifications and readers that know no blocks
	Markdown    bool    `json:"mrkdwn"`
	UnfurlLinks bool    `json:"unfurl_links"`
	UnfurlMedia bool    `json:"unfurl_media"`
	Blocks      []block `json:"blocks"`
}

const (
	maxHeader  = 150 // characters of a header block
	maxSection = 3000
)

func plain(s string, most int) *text {
	no := false
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most-1]) + "…"
	}
	return &text{Type: "plain_text", Text: s, Emoji: &no}
}

// escaped is foreign text in what Slack reads as markup.
func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func posted(m notify.Message) slackMessage {
	p := slackMessage{Text: escaped(m.Title()), Blocks: []block{{Type: "header", Text: plain(m.Title(), maxHeader)}}}
	p.Blocks = append(p.Blocks, block{Type: "section", Text: plain(strings.TrimSpace(m.Text()), maxSection)})
	if m.Link != "" {
		p.Blocks = append(p.Blocks, block{Type: "section", Text: &text{Type: "mrkdwn", Text: "<" + m.Link + "|Open in the console>"}})
	}
	return p
}
