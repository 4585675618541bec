"""Reads events, one JSON document a line, and verifies who each says that it was, with a
JWK set alone. Needs PyJWT with cryptography."""

import argparse
import json
import sys

import jwt


def check(keys, event, tenant):
    """Who makes the call that an event is of."""
    token = event["statement"]
    header = jwt.get_unverified_header(token)
    if header.get("typ") != "txntoken+jwt":
        raise ValueError("it is no statement")
    if header.get("kid") not in keys:
        raise ValueError("it is signed by a key that is not known")
    domain = "deed://" + (tenant or event["tenant"])
    claims = jwt.decode(
        token,
        keys[header["kid"]],
        algorithms=["EdDSA"],
        audience=domain,
        issuer=domain,
        options={"require": ["iat", "exp", "txn", "sub"], "verify_exp": tenant is not None},
    )
    if claims["txn"] != event["subject"]:
        raise ValueError("it is of call " + claims["txn"])
    actors, act = [], claims.get("act")
    while act:
        actors.append(act["sub"])
        act = act.get("act")
    who = f"{' for '.join(actors) or 'themselves'} for {claims['sub']} calls {claims['scope']}"
    if editor := claims.get("tctx", {}).get("editor"):
        who += f", as edited by {editor}"
    return who


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", help="file with the JWK set of /.well-known/jwks.json")
    parser.add_argument("--act", metavar="TENANT", help="also check that statements may be acted on now")
    options = parser.parse_args()
    with open(options.keys, encoding="utf-8") as f:
        keys = {key.key_id: key.key for key in jwt.PyJWKSet.from_dict(json.load(f)).keys}
    bad = False
    for line in sys.stdin:
        event = json.loads(line)
        if "statement" not in event:  # of no call, or older than statements are
            continue
        try:
            who = check(keys, event, options.act)
        except (jwt.PyJWTError, ValueError, KeyError) as e:
            bad, who = True, f"DOES NOT HOLD: {e}"
        print(event["subject"], event["type"].removeprefix("dev.deed.call.") + ":", who)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
