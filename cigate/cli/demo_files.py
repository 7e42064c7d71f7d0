"""What the tour's folder holds: a gateway, a policy, and a small repository with a job that misbehaves."""

GATEWAY_YAML = """\
# The gateway of the tour. `cigate init DIR` makes one that is commented line by line.
audience: demo.cigate.example
store: sqlite:state.db
policy: {file: policy.yaml}
agents:
  agent-1234: {versions: [">=2.0,<3"], managed: true, trusted: true, capabilities: [tests]}
  agent-5678: {versions: [">=2.0,<3"], managed: false, trusted: false}
users:
  alice@example.com: {roles: [developer], team: qa}
  bob@example.com: {roles: [sre], team: platform}
devices:
  laptop-1: {managed: true, posture: {compliant: true, disk_encrypted: true, edr_running: true, os_patch_age_days: 3}}
  laptop-2: {managed: false, posture: {compliant: false, disk_encrypted: true, edr_running: false}}
budgets:
  qa: {limit: 100000, currency: EUR, period: month}
brokers:
  local: {backend: local, profiles: {tests-read-only: {scope: [tests], ttl: 10m}}}
pipelines:
  local: {backend: local, isolation: sandbox}
actions:
  run-test-suite:
    source: {git: app.git, branches: [main]}
    command: [PYTHON, /src/run_tests.py]
    timeout: 1m
    cost: {per_run: 20, per_minute: 8}
    credential: {broker: local, profile: tests-read-only, ttl: 10m}
    output: status
    parameters:
      test_suite: {type: string, pattern: "[a-z][a-z0-9-]{0,40}"}
  create-infra:
    source: {git: app.git, branches: [main]}
    command: [PYTHON, /src/make_infra.py]
    timeout: 1m
    cost: {per_run: 2500}
    output: full
    parameters:
      size: {type: string, enum: [small, large]}
"""

POLICY_YAML = """\
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: tour, sequence: 1}
spec:
  variables:
    - {name: cheap, expression: cost.estimate <= 5000}
  rules:
    - name: managed-agents-run-tests
      effect: allow
      actions: [run-test-suite]
      expression: agent.managed && agent.approved_version && variables.cheap
      message: managed agents in an approved version may run test suites
    - name: trusted-agents-create-infra
      effect: allow
      actions: [create-infra]
      expression: agent.trusted && variables.cheap
      obligations: {isolation: sandbox}
      message: trusted agents may ask for infrastructure
    - name: infra-needs-a-person
      effect: require_approval
      actions: [create-infra]
      approval: {count: 1, roles: [sre], ttl: 30m}
      message: a site reliability engineer looks at infrastructure first
    - name: two-test-runs-an-hour
      effect: throttle
      actions: [run-test-suite]
      throttle: {limit: 2, per: 1h, key: [agent.id]}
      message: at most two test runs an hour for each agent
    - name: quarantine
      effect: deny
      expression: risk.score >= 80
      messageExpression: '"risk " + string(risk.score) + " is above 79"'
"""

RUN_TESTS = '''\
"""A job that works only with a good credential, and then tries to smuggle it out: the agent chose this code."""

import base64
import codecs
import json
import os
import pathlib
import sys

from ed25519 import verify

token = os.environ["CIGATE_CREDENTIAL"]
signed, _, signature = token.rpartition(".")


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


key = (pathlib.Path(__file__).parent / "broker.key.raw").read_text().strip()
if not verify(bytes.fromhex(key), signed.encode(), decoded(signature)):
    sys.exit("the credential's signature is wrong: nothing is done")
claims = json.loads(decoded(signed.split(".")[1]))
if claims["aud"] != os.environ["CIGATE_DECISION_ID"] or "tests" not in claims["scope"].split():
    sys.exit("the credential is for something else: nothing is done")
print(f"credential verified: scope {claims['scope']}, for decision {claims['aud']}, {claims['exp'] - claims['iat']} s")
print(f"running suite {os.environ['CIGATE_PARAM_TEST_SUITE']} at {os.environ['CIGATE_COMMIT'][:12]} … 42 passed")
print("smuggling it out as it is:", token)
print("smuggling it out in rot13:", codecs.encode(token, "rot13"))
'''

MAKE_INFRA = '''\
"""Pretends to make infrastructure, and shows what a job sees of the machine around it."""

import os
import socket

print(f"making {os.environ['CIGATE_PARAM_SIZE']} infrastructure")
print("cigate variables:", ", ".join(sorted(name for name in os.environ if name.startswith("CIGATE"))))
try:
    socket.create_connection(("127.0.0.1", 22), timeout=1)
    print("the network answers!")
except OSError as error:
    print("network:", type(error).__name__)
for path in ("/etc/shadow", "/root", "/var/log"):
    print(f"{path}:", "there!" if os.path.exists(path) else "not there")
'''

ED25519 = '''\
"""Ed25519 verification as RFC 8032 describes it, in plain Python: this job trusts no package for it."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def recover_x(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def add(p, q):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = p, q
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = recover_x(y, sign) if y < P else None
    return None if x is None else (x, y, 1, x * y % P)


def equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def verify(key, message, signature):
    public, r = point(key), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or public is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    base = (recover_x(BASE_Y, 0), BASE_Y, 1, recover_x(BASE_Y, 0) * BASE_Y % P)
    return equal(multiply(s, base), add(r, multiply(h, public)))
'''
