"""Sign a request for cigate with a P-256 key. Needs only the `cryptography` package.

usage: python sign.py KEY.pem AUDIENCE KEY_ID REQUEST.json > SIGNED.json
"""

import base64
import json
import sys
import time
import uuid

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

key_file, aud, keyid, request_file = sys.argv[1:]
with open(key_file, "rb") as file:
    key = load_pem_private_key(file.read(), password=None)
with open(request_file, encoding="utf-8") as file:
    request = json.load(file)
kind, now = "application/vnd.cigate.request.v1+json", int(time.time())
claims = {"aud": aud, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
payload = json.dumps({**request, **claims}).encode()
signature = key.sign(
    b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload), ECDSA(SHA256())
)
b64 = lambda content: base64.b64encode(content).decode()  # noqa: E731
envelope = {
    "payload": b64(payload),
    "payloadType": kind,
    "signatures": [{"keyid": keyid, "sig": b64(signature)}],
}
print(json.dumps({**request, "attestation": b64(json.dumps(envelope).encode())}))
