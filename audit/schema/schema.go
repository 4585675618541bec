package schema

import (
	"embed"
	"fmt"
	"strings"

	"github.com/deedbroker/deed/audit"
)

//go:embed calls.json control.json rejections.json checkpoints.json asyncapi.json
var files embed.FS

// Base is what the URIs of the schemas begin with. They are names: nothing has to be
// served there.
const Base = "https://deed.dev/schemas/"

// Topics are the topics whose messages have a schema.
func Topics() []string {
	return []string{audit.TopicCalls, audit.TopicControl, audit.TopicRejections, audit.TopicCheckpoints}
}

// OfTopic is the JSON Schema of a topic's events: its URI and its text.
func OfTopic(topic string) (uri, text string, err error) {
	file := topic + ".json"
	b, err := files.ReadFile(file)
	if err != nil || topic == "asyncapi" {
		return "", "", fmt.Errorf("topic %q has no schema", topic)
	}
	return Base + file, string(b), nil
}

// URI is that of an event type's definition, such as …/calls.json#/$defs/dev.deed.call.intent.v1.
func URI(t audit.Type) string {
	return Base + TopicOf(t) + ".json#/$defs/" + string(t)
}

// TopicOf is the topic in which events of a type stand.
func TopicOf(t audit.Type) string {
	switch {
	case strings.HasPrefix(string(t), "dev.deed.call."):
		return audit.TopicCalls
	case t == audit.TokenRejected:
		return audit.TopicRejections
	case t == audit.TreeSigned:
		return audit.TopicCheckpoints
	default:
		return audit.TopicControl
	}
}

// AsyncAPI is the AsyncAPI 3.0 document of the topics on Pulsar, as JSON.
func AsyncAPI() []byte {
	b, _ := files.ReadFile("asyncapi.json") // it is embedded
	return b
}
