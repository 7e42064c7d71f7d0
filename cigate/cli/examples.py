"""The folder that `init` makes: commented, so that reading it teaches the product; small, so that it is read."""

GATEWAY_YAML = """\
# A cigate gateway. Each section may also be {file: PATH}; an unknown key is an error.
# After a change run `cigate policy check policy.yaml`, and any verb: it loads the files again.

# The one exact name that signed requests must carry. It stays for life.
audience: ci.example.org

# State and ledger in one SQLite file. Back it up with `cigate backup`, never by copying it.
store: sqlite:state.db

policy: {file: policy.yaml}

# Who may ask. Versions are PEP 440; a bare version is exact. What is not listed is unknown, and unknown never opens.
agents:
  agent-1234:
    versions: [">=2.0,<3"]
    managed: true
    trusted: true
    capabilities: [tests]

# The people: those that agents act for, and those who approve.
users:
  alice@example.com: {roles: [developer], team: qa}
  bob@example.com: {roles: [sre], team: platform}

# The machines that hold the agents' keys. Posture may come from a provider, with source and observed_at.
devices:
  laptop-1:
    managed: true
    posture: {compliant: true, disk_encrypted: true, edr_running: true, os_patch_age_days: 3}

# Money is in minor units (cents); a team's runs are charged to its budget.
budgets:
  qa: {limit: 100000, currency: EUR, period: month}

# Who issues credentials, and what at most. An action names a profile; a request never does.
brokers:
  local:
    backend: local
    profiles:
      tests-read-only: {scope: [tests], ttl: 10m}

# Where runs happen. `none` instead of `sandbox` needs allow_unisolated_jobs: true; there is no fallback.
pipelines:
  local: {backend: local, isolation: sandbox}

# What may be asked for at all.
actions:
  hello:
    command: [/bin/sh, -c, 'echo "hello, $CIGATE_PARAM_NAME"']
    timeout: 1m
    output: full                      # the caller sees what it prints: it holds no credential
    parameters:
      name: {type: string, pattern: "[A-Za-z]{1,40}"}

  run-test-suite:
    # source: {git: /srv/repos/app.git, branches: [main, "release/*"]}   # the commit, read-only at /src
    command: [/bin/sh, -c, 'echo "suite $CIGATE_PARAM_TEST_SUITE passed"']
    timeout: 10m
    cost: {per_run: 20, per_minute: 8}
    credential: {broker: local, profile: tests-read-only, ttl: 10m}
    output: status                    # the caller gets exit code and duration; operators read the output
    parameters:
      test_suite: {type: string, pattern: "[a-z][a-z0-9-]{0,40}"}
      shards: {type: integer, minimum: 1, maximum: 8, optional: true}

  create-infra:
    command: [/bin/sh, -c, 'echo "made $CIGATE_PARAM_SIZE infrastructure"']
    timeout: 5m
    cost: {per_run: 2500}
    parameters:
      size: {type: string, enum: [small, large]}
"""

POLICY_YAML = """\
# Deny by default: only an allow rule opens, and every other rule only restricts. Order never matters.
# Try it: cigate policy explain FACTS.json
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: desktop-agents, sequence: 1}   # raise the sequence with each change
spec:
  variables:
    - name: cheap
      expression: cost.estimate <= 5000
  rules:
    - name: anyone-known-says-hello
      effect: allow
      actions: [hello]
      expression: agent.managed
    - name: managed-agents-run-tests
      effect: allow
      actions: [run-test-suite]
      expression: agent.managed && agent.approved_version && variables.cheap
      message: managed agents in an approved version may run test suites
    - name: trusted-agents-create-infra
      effect: allow
      actions: [create-infra]
      expression: agent.trusted
      obligations: {isolation: sandbox}
    - name: infra-needs-a-person
      effect: require_approval
      actions: [create-infra]
      approval: {count: 1, roles: [sre], ttl: 30m}
      message: infrastructure costs money, so a site reliability engineer looks first
    - name: at-most-ten-an-hour
      effect: throttle
      actions: [run-test-suite]
      throttle: {limit: 10, per: 1h, key: [agent.id]}
    - name: quarantine
      effect: deny
      expression: risk.score >= 80
      messageExpression: '"risk " + string(risk.score) + " is above 79"'
"""
