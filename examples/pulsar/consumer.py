"""Reads a domain of a Deed tenant from Pulsar and prints its calls.

    python consumer.py --url pulsar+ssl://pulsar.acme.example:6651 --ca ca.pem \
        --token-file auditor.token --tenant acme --domain payments [--follow] [--json]

It needs no more than permission to consume the domain. It reads by readers, which leave
nothing behind on the cluster. What contradicts itself is told on a line that begins with
an exclamation mark, and never stops the reading; the exit code is then 1.
"""

import argparse
import json
import sys
from datetime import datetime

import pulsar

CONTENT_TYPE = "application/cloudevents+json"
CLOSES = {"result", "failed", "denied", "expired", "cancelled", "unknown"}
ATTRIBUTES = (
    "specversion id type source subject time datacontenttype tenant domain topic"
    " principal actor tokenexpires traceparent"
).split()


def instant(text):
    """An RFC 3339 time with up to nanoseconds, which datetime has no room for."""
    head, dot, tail = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(head + dot + tail[:6].ljust(6, "0") if dot else head)


class Checker:
    """Holds the messages of one partition against what they say of themselves."""

    def __init__(self, tenant, domain):
        self.tenant, self.domain = tenant, domain
        self.next = {}  # by run: the number that it goes on with

    def check(self, message, event):
        """Yields what is wrong; the event is None if the body is none."""
        properties = message.properties()
        run, number = (message.producer_name(), properties.get("deed_run")), properties.get("deed_seq", "")
        if not run[1] or not number.isdigit():
            yield "it is not numbered as a broker numbers"
        else:
            if self.next.get(run, int(number)) != int(number):
                yield f"sequence: number {self.next[run]} of run {run[1]} is missing, here is {number}"
            self.next[run] = int(number) + 1
        if properties.get("content-type") != CONTENT_TYPE:
            yield f"content type: {properties.get('content-type')}"
        if event is None:
            yield "its body is no event"
            return
        for name in ATTRIBUTES:
            said, repeated = event.get(name, ""), properties.get("ce_" + name, "")
            if name in ("time", "tokenexpires") and said and repeated:
                said, repeated = instant(said), instant(repeated)
            if said != repeated:
                yield f"envelope: {name} is {said} in the body and {repeated or 'missing'} in the properties"
        if (event.get("tenant"), event.get("domain"), event.get("topic")) != (self.tenant, self.domain, "calls"):
            yield f"place: it says {event.get('tenant')}/{event.get('domain')}/{event.get('topic')}"
        if message.partition_key() != event.get("subject"):
            yield f"key: {message.partition_key()} for call {event.get('subject')}"
        if message.producer_name() != event.get("source"):
            yield f"producer: {message.producer_name()} wrote what says {event.get('source')}"
        if event["type"].endswith(".intent.v1") and "tokenexpires" in event:
            if instant(event["tokenexpires"]) < instant(event["time"]):
                yield f"token: it had expired at {event['tokenexpires']}"


class Calls:
    """Folds events into calls. The first that closes a call counts."""

    def __init__(self):
        self.open = {}

    def apply(self, event):
        """Returns the call if this event has closed it."""
        what, data = event["type"].split(".")[-2], event["data"]
        intent = data if what == "intent" else data.get("request")
        if intent:
            chain = [actor["id"] for actor in intent["identity"].get("chain") or []]
            self.open[event["subject"]] = {
                "call": event["subject"], "opened": event["time"], "tool": intent["tool"],
                "principal": intent["identity"].get("principal", ""), "agents": chain,
                "effect": intent["decision"]["effect"], "state": "open",
            }
        if what not in CLOSES or event["subject"] not in self.open:
            return None
        call = self.open.pop(event["subject"])
        call.update(state=what, code=data["code"], closed=event["time"], reason=data.get("reason", ""))
        return call


def parse(body):
    try:
        event = json.loads(body)
        if isinstance(event, dict) and isinstance(event.get("data"), dict) and event.get("type", "").startswith("dev.deed.call."):
            return event
    except ValueError:
        pass
    return None


class Reading:
    def __init__(self, options):
        self.options, self.calls, self.found = options, Calls(), 0

    def client(self):
        def token():
            with open(self.options.token_file, encoding="ascii") as file:
                return file.read().strip()

        return pulsar.Client(
            self.options.url, authentication=pulsar.AuthenticationToken(token), tls_trust_certs_file_path=self.options.ca,
            tls_validate_hostname=True, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error),
        )

    def run(self):
        client = self.client()
        topic = f"persistent://{self.options.tenant}/{self.options.domain}/calls"
        readers = [
            (client.create_reader(name, pulsar.MessageId.earliest), Checker(self.options.tenant, self.options.domain))
            for name in client.get_topic_partitions(topic)
        ]
        try:
            self.read(readers)
        finally:
            client.close()
        for call in self.calls.open.values():
            self.show(call)
        return 1 if self.found else 0

    def read(self, readers):
        more = True
        while more:
            more = self.options.follow
            for reader, checker in readers:
                while reader.has_message_available():
                    more = True
                    self.message(reader.read_next(10_000), checker)
            if self.options.follow:
                self.wait(readers)

    def wait(self, readers):
        for reader, checker in readers:
            try:
                self.message(reader.read_next(200), checker)
            except pulsar.Timeout:
                pass

    def message(self, message, checker):
        event = parse(message.data())
        try:
            for wrong in checker.check(message, event):
                self.strange(message, wrong)
            call = self.calls.apply(event) if event else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # a stranger's event
            self.strange(message, f"it is no event of a broker: {error!r}")
            return
        if call:
            self.show(call)

    def strange(self, message, wrong):
        self.found += 1
        print("!", message.topic_name(), message.message_id(), wrong.encode("unicode_escape").decode(), flush=True)

    def show(self, call):
        if self.options.json:
            print(json.dumps(call), flush=True)
            return
        who = call["principal"] or "nobody"
        if call["agents"]:
            who += " via " + ", ".join(call["agents"])
        line = f"{call['opened'][:19]} {call['call']} {call['tool']} by {who}: {call['effect']}, {call['state']} {call.get('code', '')}"
        print(line.encode("unicode_escape").decode().rstrip(), flush=True)


def main():
    parser = argparse.ArgumentParser(description="Print the calls of a domain of Deed.")
    parser.add_argument("--url", required=True, help="pulsar://… or pulsar+ssl://…")
    parser.add_argument("--token-file", required=True, help="read again whenever a connection is made")
    parser.add_argument("--ca", help="certificates of who vouches for the cluster")
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--follow", action="store_true", help="go on with what is written from now on")
    parser.add_argument("--json", action="store_true", help="one call a line, as JSON")
    try:
        sys.exit(Reading(parser.parse_args()).run())
    except KeyboardInterrupt:
        sys.exit(130)
    except pulsar.PulsarException as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
