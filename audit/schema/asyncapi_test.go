package schema_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/schema"
)

// asyncAPI is the document of the topics on Pulsar.
func (s *source) asyncAPI() object {
	channels, operations, messages := object{}, object{}, object{}
	for _, topic := range schema.Topics() {
		of := object{}
		for _, e := range s.eventsOf(topic) {
			messages[e.name] = message(topic, e)
			of[e.name] = object{"$ref": "#/components/messages/" + e.name}
		}
		channels[topic] = channel(topic, of, topicSays[topic])
		operations["read-"+topic] = operation(topic)
	}
	for topic, content := range map[string]string{"payloads": "application/vnd.deed.payloads.v1", "keys": "application/json"} {
		messages[topic] = object{"name": topic, "contentType": content, "summary": topicSays[topic], "payload": object{}}
		channels[topic] = channel(topic, object{topic: object{"$ref": "#/components/messages/" + topic}}, topicSays[topic])
		operations["read-"+topic] = operation(topic)
	}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Deed on Apache Pulsar", "version": "1.0.0", "license": object{"name": "Apache-2.0"},
			"description": "What a Deed tenant's topics hold. Only brokers write; the readers of a domain consume it. " +
				"A message is a CloudEvent in structured mode, whose attributes its properties repeat; one whose properties disagree with its " +
				"body, or whose sequence skips, was not written, or not delivered, as brokers do.",
		},
		"defaultContentType": "application/cloudevents+json",
		"servers": object{"pulsar": object{
			"host": "pulsar.example:6651", "protocol": "pulsar+ssl", "description": "log.pulsar.url of deed.yaml",
			"security": []any{object{"$ref": "#/components/securitySchemes/token"}},
		}},
		"channels": channels, "operations": operations,
		"components": object{
			"messages": messages, "schemas": object{"properties": properties()},
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "Of a Pulsar role that may consume the domain."}},
		},
	}
}

var topicSays = map[string]string{
	audit.TopicCalls:       "Every event of every call of a domain, keyed by call id.",
	audit.TopicControl:     "What is about no call: policies, tools, keys, replicas, grants.",
	audit.TopicRejections:  "Samples of tokens that did not verify.",
	audit.TopicCheckpoints: "Signed checkpoints of every log.",
	"payloads": "Arguments and results of calls, encrypted; events commit to them by salted digest. A message has those of one event (ce_id), or, " +
		"of the content type application/vnd.deed.payloads.v2, of several (deed_events).",
	"keys": "What payloads are encrypted with; the last message of each key counts.",
}

func channel(topic string, messages object, says string) object {
	parameters := object{"tenant": object{"description": "tenant of deed.yaml"}}
	domain := audit.OwnDomain
	if topic == audit.TopicCalls || topic == "payloads" || topic == "keys" {
		domain = "{domain}"
		parameters["domain"] = object{"description": "A domain of deed.yaml, or deed."}
	}
	return object{
		"address":    "persistent://{tenant}/" + domain + "/" + topic,
		"parameters": parameters, "messages": messages, "description": says,
		"bindings": object{"pulsar": object{"namespace": domain, "persistence": "persistent", "bindingVersion": "0.1.0"}},
	}
}

func operation(topic string) object {
	return object{"action": "receive", "channel": object{"$ref": "#/channels/" + topic}, "summary": "Consume " + topic + "."}
}

func message(topic string, e eventType) object {
	return object{
		"name": e.name, "title": e.name, "contentType": "application/cloudevents+json",
		"summary": strings.TrimSpace("Data: " + e.data + ". " + sentence(e.doc)),
		"headers": object{"$ref": "#/components/schemas/properties"},
		"payload": object{
			"schemaFormat": "application/schema+json;version=draft-07", // the newest that AsyncAPI names; the files say 2020-12
			"schema":       object{"$ref": topic + ".json#/$defs/" + e.name},
		},
	}
}

// properties are those of a message that repeat the event's attributes, and number it.
func properties() object {
	all := object{
		"content-type":  object{"type": "string", "const": "application/cloudevents+json"},
		"deed_run":      object{"type": "string", "description": "One life of the producer."},
		"deed_seq":      object{"type": "string", "pattern": "^[0-9]+$", "description": "Counts the messages of a run, from 0: a number that is skipped is a message that is missing."},
		"deed_payloads": object{"type": "string", "pattern": "^[0-9]+$", "description": "How many payloads the event has; left out for none."},
	}
	for _, name := range []string{"specversion", "id", "type", "source", "subject", "time", "datacontenttype", "tenant", "domain", "topic", "principal", "actor", "tokenexpires", "traceparent"} {
		all["ce_"+name] = object{"type": "string", "description": "The event's " + name + "."}
	}
	return object{"type": "object", "required": []string{"content-type", "deed_run", "deed_seq", "ce_id", "ce_type", "ce_source", "ce_tenant", "ce_domain", "ce_topic"}, "properties": all}
}

// Every reference within the document, and into the schemas beside it, leads somewhere.
func TestReferencesOfAsyncAPILeadSomewhere(t *testing.T) {
	t.Parallel()
	documents := map[string]any{"": decode(t, string(schema.AsyncAPI()))}
	for _, topic := range schema.Topics() {
		_, text, err := schema.OfTopic(topic)
		if err != nil {
			t.Fatal(err)
		}
		documents[topic+".json"] = decode(t, text)
	}
	count := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				count++
				file, pointer, _ := strings.Cut(ref, "#/")
				if !resolves(documents[file], strings.Split(pointer, "/")) {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(documents[""])
	if count < len(parseAudit(t).events) {
		t.Errorf("only %d references", count)
	}
}

func resolves(v any, path []string) bool {
	for _, step := range path {
		o, ok := v.(object)
		if !ok {
			return false
		}
		v = o[step]
	}
	return v != nil
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
