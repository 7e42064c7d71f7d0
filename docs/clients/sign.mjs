// Sign a request for cigate with a P-256 key. Needs Node 18 or later and no package.
// usage: node sign.mjs KEY.pem AUDIENCE KEY_ID REQUEST.json > SIGNED.json
import { createPrivateKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const [keyFile, aud, keyid, requestFile] = process.argv.slice(2);
const request = JSON.parse(readFileSync(requestFile, "utf8"));
const payloadType = "application/vnd.cigate.request.v1+json";
const iat = Math.floor(Date.now() / 1000);
const payload = Buffer.from(JSON.stringify({ ...request, aud, iat, exp: iat + 300, jti: randomUUID() }));
const pae = Buffer.concat([
  Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
const sig = sign("sha256", pae, createPrivateKey(readFileSync(keyFile))).toString("base64");
const envelope = { payload: payload.toString("base64"), payloadType, signatures: [{ keyid, sig }] };
const attestation = Buffer.from(JSON.stringify(envelope)).toString("base64");
console.log(JSON.stringify({ ...request, attestation }));
