// Signs the calls on standard input with one of the clients for Node, under a
// fixed clock. Arguments: the folder of modules, the name of the client.
const path = require("path");
const [modules, client] = process.argv.slice(2);
const load = (name) => require(require.resolve(name, { paths: [modules, path.dirname(modules)] }));
const job = JSON.parse(require("fs").readFileSync(0, "utf8"));
const clock = new Date(job.clock);

const escapeURI = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());

async function smithy(c, Signer = load("@smithy/signature-v4").SignatureV4) {
  const { Sha256 } = load("@aws-crypto/sha256-js");
  const s3 = c.service === "s3";
  const signer = new Signer({
    service: c.service, region: job.region, sha256: Sha256, uriEscapePath: !s3, applyChecksum: true,
    credentials: { accessKeyId: job.key, secretAccessKey: job.secret, sessionToken: c.token || undefined },
  });
  const [p, q] = c.target.split("?");
  const query = {};
  for (const pair of q ? q.split("&") : []) {
    const [k, v] = pair.split("=").map(decodeURIComponent);
    query[k] = k in query ? [].concat(query[k], v ?? "") : v ?? "";
  }
  const headers = { host: job.host };
  for (const [k, v] of c.headers) headers[k] = k in headers ? headers[k] + "," + v : v;
  // As @aws-sdk/s3-request-presigner does.
  if (s3 && c.presign) headers["X-Amz-Content-Sha256"] = "UNSIGNED-PAYLOAD";
  const request = { method: c.method, protocol: "http:", hostname: job.host, path: p, query, headers, body: c.body || undefined };
  const done = c.presign
    ? await signer.presign(request, { signingDate: clock, expiresIn: 3600 })
    : await signer.sign(request, { signingDate: clock });
  const pairs = [];
  for (const k of Object.keys(done.query).sort())
    for (const v of [].concat(done.query[k])) pairs.push(escapeURI(k) + "=" + escapeURI(v));
  return { target: done.path + (pairs.length ? "?" + pairs.join("&") : ""), headers: Object.entries(done.headers) };
}

const smithy4a = (c) => smithy(c, load("@smithy/signature-v4a").SignatureV4a);

async function aws4(c) {
  const lib = load("aws4");
  const Real = Date;
  globalThis.Date = class extends Real {
    constructor(...a) { super(...(a.length ? a : [clock.getTime()])); }
  };
  try {
    const headers = { Host: job.host };
    for (const [k, v] of c.headers) headers[k] = k in headers ? headers[k] + "," + v : v;
    // It leaves the life of a link to whoever asks for it, and S3's to a day.
    const target = c.presign ? c.target + (c.target.includes("?") ? "&" : "?") + "X-Amz-Expires=3600" : c.target;
    const opts = { service: c.service, region: job.region, method: c.method, path: target, headers, body: c.body || undefined, signQuery: c.presign };
    const done = lib.sign(opts, { accessKeyId: job.key, secretAccessKey: job.secret, sessionToken: c.token || undefined });
    return { target: done.path, headers: Object.entries(done.headers) };
  } finally {
    globalThis.Date = Real;
  }
}

(async () => {
  const out = [];
  for (const c of job.calls) {
    try {
      const done = await { smithy, smithy4a, aws4 }[client](c);
      out.push({ name: c.name, target: done.target, headers: done.headers.map(([k, v]) => [k, String(v)]) });
    } catch (e) {
      out.push({ name: c.name, error: String(e) });
    }
  }
  process.stdout.write(JSON.stringify(out));
})();
