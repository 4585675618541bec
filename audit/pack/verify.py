"""Verifies an evidence pack of Deed's with Python alone: python3 verify.py PACK.zip --key KEY

It recomputes each log's Merkle tree (RFC 6962) from the stored records, compares it with
every signed checkpoint (C2SP tlog-checkpoint, Ed25519 as in RFC 8032), follows the keys
through their rotations, and recomputes what records commit to. Exit code 0: all holds.
"""
import argparse, base64, hashlib, json, sys, zipfile

# Ed25519: verification only, in extended coordinates.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return w * x % P, y * z % P, x * y % P, w * z % P


def times(n, a):
    r = (0, 1, 1, 0)
    while n:
        if n & 1:
            r = add(r, a)
        a, n = add(a, a), n >> 1
    return r


def point(b):
    y = int.from_bytes(b, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - xx) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed_by(public, message, signature):
    a, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = times(s, BASE), add(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


class Key:
    """A verifier key: name+hash+base64 of the algorithm (1) and the public key."""

    def __init__(self, text):
        self.text = text.strip()
        self.name, identity, rest = self.text.split("+", 2)
        raw = base64.b64decode(rest)
        self.id, self.public = bytes.fromhex(identity), raw[1:]
        if raw[:1] != b"\x01" or len(raw) != 33 or hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4] != self.id:
            raise ValueError("not an Ed25519 verifier key: " + text)

    def opens(self, note):
        """The text of a signed note, if this key signed it."""
        text, _, signatures = note.rpartition("\n\n")
        for line in signatures.splitlines():
            dash, name, value = (line.split(" ") + ["", ""])[:3]
            raw = base64.b64decode(value or "")
            if dash == "\u2014" and name == self.name and raw[:4] == self.id and signed_by(self.public, (text + "\n").encode(), raw[4:]):
                return text + "\n"
        return None


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    def __init__(self, size, roots):
        self.size, self.roots = size, roots  # of the complete subtrees, the largest first
        if len(roots) != bin(size).count("1"):
            raise ValueError("a log begins without the subtrees before it")

    def grow(self, record):
        leaf, n = hashlib.sha256(b"\x00" + record).digest(), self.size
        while n & 1:
            leaf, n = node(self.roots.pop(), leaf), n >> 1
        self.roots.append(leaf)
        self.size += 1

    def root(self):
        if not self.roots:
            return hashlib.sha256(b"").digest()
        h = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            h = node(left, h)
        return h


class Pack:
    def __init__(self, path, keys):
        self.zip, self.findings, self.given = zipfile.ZipFile(path), [], [Key(k) for k in keys]
        self.manifest = json.loads(self.zip.read("manifest.json"))
        self.parts = {p["log"]: p for p in self.manifest["logs"]}
        self.chain, self.checkpoints, self.last = [], {}, {}
        self.counts = {"records": 0, "calls": 0, "payloads": 0, "erased": 0, "checkpoints": 0}

    def find(self, where, what):
        self.findings.append("%s: %s" % (where, what))

    def lines(self, kind, log):
        with self.zip.open("%s/%s.ndjson" % (kind, log)) as f:
            for line in f:
                yield line.rstrip(b"\n")

    def read_keys(self):
        for line in self.lines("logs", "deed/control"):
            event = json.loads(line)
            data = event["data"]
            if event["type"] == "dev.deed.control.started.v1" and not self.chain:
                self.chain.append(Key(data["key"]))
            if event["type"] == "dev.deed.control.key.v1":
                old, new = self.chain[-1], Key(data["new"])
                if len(self.chain) > 1 and (data["old"], new.text) == (self.chain[-2].text, old.text):
                    continue  # two brokers said the same
                want = "deed key rotation v1\n%s\n%s\n" % (old.text, new.text)
                if data["old"] != old.text or old.opens(data["note"]) != want:
                    self.find("deed/control", "a key was replaced without its own signature")
                self.chain.append(new)

    def read_checkpoints(self):
        for i, line in enumerate(self.lines("logs", "deed/checkpoints"), self.parts["deed/checkpoints"]["from"]):
            where, data = "deed/checkpoints@%d" % i, json.loads(line)["data"]
            self.counts["checkpoints"] += 1
            for n, key in enumerate(self.chain):
                text = key.opens(data["note"])
                if text:
                    break
            else:
                self.find(where, "not signed by a key of this log")
                continue
            origin, size, root = text.splitlines()[:3]
            log = "/".join(origin.split("/")[2:])
            if origin.split("/")[:2] != key.name.split("/") or log != data["log"] or int(size) != data["size"]:
                self.find(where, "its event says something else than its note")
                continue
            if log in self.parts:
                self.checkpoints.setdefault(log, {}).setdefault(int(size), set()).add(base64.b64decode(root))
                self.last[log] = max(self.last.get(log, (0, 0)), (int(size), n))

    def check_trust(self):
        chain = [k.text for k in self.chain]
        trusted = [chain.index(k.text) for k in self.given if k.text in chain]
        if not trusted:
            return self.find("deed/control", "the key given is not among its keys: " + ", ".join(chain))
        control = self.last.get("deed/control", (0, -1))[1] >= min(trusted)
        for log in self.parts:
            if log != "deed/checkpoints" and not control and self.last.get(log, (0, -1))[1] < min(trusted):
                self.find(log, "sealed by no key that is trusted")

    def check_log(self, part):
        log, payloads = part["log"], self.lines("payloads", part["log"])
        tree = Tree(part["from"], [base64.b64decode(h) for h in part.get("before", [])])
        signed, ahead, sealed = self.checkpoints.get(log, {}), next(payloads, None), 0
        for record in self.lines("logs", log):
            where = "%s@%d" % (log, tree.size)
            tree.grow(record)
            self.counts["records"] += 1
            for root in signed.get(tree.size, ()):
                sealed = tree.size
                if root != tree.root():
                    self.find(where, "the records up to here are not those that were sealed")
            beside = {}
            while ahead is not None and json.loads(ahead)["index"] <= tree.size - 1:
                line = json.loads(ahead)
                beside[line["name"]] = line
                ahead = next(payloads, None)
            event = json.loads(record)
            if event["domain"] + "/" + event["topic"] != log:
                self.find(where, "its event belongs to another log")
            self.counts["calls"] += event["type"] == "dev.deed.call.intent.v1"
            self.check_payloads(where, event["data"], beside)
        if tree.size != part["to"] or sealed != part["to"]:
            self.find(log, "%d records, %d of them sealed, where the manifest says %d" % (tree.size, sealed, part["to"]))

    def check_payloads(self, where, data, beside):
        request = data.get("request") or {}
        for name, c in [("arguments", data.get("arguments")), ("arguments", request.get("arguments")), ("output", data.get("output")),
                        ("justification", data.get("justification")), ("justification", request.get("justification")),
                        ("policy", data.get("text") if "policy_set" in data else None), ("definition", data.get("text") if "tool" in data else None)]:
            if not isinstance(c, dict) or not c.get("sha256"):
                continue
            p = beside.get(name)
            if p is None:
                if self.manifest["payloads"] or name in ("policy", "definition"):
                    self.find(where, "its %s is neither there nor erased" % name)
            elif p.get("erased"):
                self.counts["erased"] += 1
            else:
                body = base64.b64decode(p.get("body", ""))
                if hashlib.sha256(base64.b64decode(p["salt"]) + body).hexdigest() != c["sha256"] or len(body) != c["size"]:
                    self.find(where, "its %s is not what the record commits to" % name)
                self.counts["payloads"] += 1

    def verify(self):
        self.read_keys()
        self.read_checkpoints()
        self.check_trust()
        for part in self.manifest["logs"]:
            if part["log"] != "deed/checkpoints":
                self.check_log(part)


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("pack")
    args.add_argument("--key", action="append", required=True, help="a verifier key that you trust")
    args = args.parse_args()
    pack = Pack(args.pack, args.key)
    pack.verify()
    for f in pack.findings:
        print("finding:", f)
    print(", ".join("%d %s" % (n, what) for what, n in pack.counts.items()))
    print("NOT verified" if pack.findings else "verified: complete and untouched")
    sys.exit(1 if pack.findings else 0)


if __name__ == "__main__":
    main()
