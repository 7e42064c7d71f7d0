#!/bin/sh
# Sign a request for cigate with a P-256 key. Needs openssl and a POSIX shell.
# usage: sign.sh KEY.pem AUDIENCE KEY_ID REQUEST.json > SIGNED.json
set -eu
type=application/vnd.cigate.request.v1+json
length() { printf %s "$1" | wc -c | tr -d ' '; }
b64() { openssl base64 -A; }
fields=$(tr '\n\r\t' '   ' < "$4" | sed 's/ *} *$//')   # the request without its closing brace
now=$(date +%s)
payload="$fields,\"aud\":\"$2\",\"iat\":$now,\"exp\":$((now + 300)),\"jti\":\"$(openssl rand -hex 16)\"}"
pae="DSSEv1 $(length "$type") $type $(length "$payload") $payload"
sig=$(printf %s "$pae" | openssl dgst -sha256 -sign "$1" | b64)
envelope=$(printf '{"payload":"%s","payloadType":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}' \
  "$(printf %s "$payload" | b64)" "$type" "$3" "$sig")
printf '%s,"attestation":"%s"}\n' "$fields" "$(printf %s "$envelope" | b64)"
