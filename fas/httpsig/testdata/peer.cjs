// Signs or verifies one request, read as JSON, with npm's http-message-signatures.
try { require.resolve('http-message-signatures'); } catch { process.exit(77); }
const { httpbis, createSigner, createVerifier } = require('http-message-signatures');
const { createHash } = require('node:crypto');
const d = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const body = Buffer.from(d.body, 'base64');
const digest = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;
(async () => {
  if (d.op === 'sign') {
    const r = await httpbis.signMessage({
      key: createSigner(d.key, 'ed25519', d.keyid), name: 'sig1', fields: d.components,
      params: ['created', 'expires', 'nonce', 'keyid', 'alg'], paramValues: { nonce: d.nonce },
    }, { method: d.method, url: d.url, headers: { ...d.headers, 'content-digest': digest } });
    process.stdout.write(JSON.stringify({ headers: r.headers }));
    return;
  }
  let ok = false;
  try {
    ok = d.headers['content-digest'] === digest && await httpbis.verifyMessage({
      keyLookup: async (p) => (p.keyid === d.keyid ? { id: d.keyid, algs: ['ed25519'], verify: createVerifier(d.key, 'ed25519') } : null),
    }, { method: d.method, url: d.url, headers: d.headers }) === true;
  } catch { ok = false; }
  process.stdout.write(JSON.stringify({ ok }));
})();
