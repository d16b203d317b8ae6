"""Signs or verifies one request, read as JSON, with PyPI's http-message-signatures."""
import base64, datetime, json, sys

try:
    from cryptography.hazmat.primitives import serialization
    from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver, algorithms
    from http_message_signatures.exceptions import HTTPMessageSignaturesException
except ImportError:
    sys.exit(77)


class Request:
    def __init__(self, d):
        self.method, self.url, self.headers = d["method"], d["url"], dict(d["headers"])


d = json.load(sys.stdin)
body = base64.b64decode(d["body"])
r = Request(d)
if d["op"] == "sign":
    key = serialization.load_pem_private_key(d["key"].encode(), None)
    HTTPMessageSigner(signature_algorithm=algorithms.ED25519,
                      key_resolver=MappingKeyResolver(private_keys={d["keyid"]: key}, public_keys={})).sign(
        r, key_id=d["keyid"], created=datetime.datetime.now(), nonce=d["nonce"], label="sig1",
        covered_component_ids=d["components"], body=body)
    json.dump({"headers": r.headers}, sys.stdout)
else:
    key = serialization.load_pem_public_key(d["key"].encode())
    v = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519,
                            key_resolver=MappingKeyResolver(public_keys={d["keyid"]: key}, private_keys={}))
    try:
        ok = len(v.verify(r, body=body)) == 1
    except HTTPMessageSignaturesException:
        ok = False
    json.dump({"ok": ok}, sys.stdout)
