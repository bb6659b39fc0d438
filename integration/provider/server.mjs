// An OpenID Provider for tests: npm's `oidc-provider`, with users and clients made up here. Listens
// only on loopback. Tokens are opaque, except those for a resource; users log in with the package's
// own forms.
//
// Settings, all by environment: PORT (0: a free one), TLS_PORT with TLS_KEY and TLS_CERT (PEM; the
// same provider once more, encrypted), STORE (a file that keeps all tokens over a restart; without
// it they end with the process). Prints `listening on http://127.0.0.1:<port>` once it does.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import Provider from 'oidc-provider';

const { PORT = '0', TLS_PORT, TLS_KEY, TLS_CERT, STORE } = process.env;

const ISSUER = 'https://idp.example';

const USERS = {
  alice: {
    name: 'Alice Zoë Åström',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['buyers', 'staff'],
    account: { number: 4711 },
  },
  // A user with few claims.
  bob: { email: 'bob@example.com', email_verified: false, groups: [] },
};

// Lifetime of each client's access tokens, in seconds.
const LIFETIMES = { web: 3600, hasty: 5, signed: 3600 };

const client = (client_id, more = {}) => ({
  client_id,
  client_secret: `secret-of-${client_id}`,
  token_endpoint_auth_method: 'client_secret_post',
  redirect_uris: ['https://app.example/back'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  ...more,
});

// The provider's state, as `<model>:<id>` -> { payload, expires }.
const memory = new Map();

function load() {
  try {
    for (const [key, value] of JSON.parse(readFileSync(STORE, 'utf8'))) memory.set(key, value);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

// The file changes at once and completely: the process may be killed at any time.
function save() {
  if (!STORE) return;
  writeFileSync(`${STORE}.new`, JSON.stringify([...memory]));
  renameSync(`${STORE}.new`, STORE);
}

class Adapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    const expires = expiresIn ? Date.now() + expiresIn * 1000 : undefined;
    memory.set(`${this.model}:${id}`, { payload, expires });
    save();
  }

  async find(id) {
    const found = memory.get(`${this.model}:${id}`);
    if (found?.expires === undefined || found.expires > Date.now()) return found?.payload;
    return undefined;
  }

  async #findBy(name, value) {
    for (const [key, { payload }] of memory) {
      if (key.startsWith(`${this.model}:`) && payload[name] === value) {
        return this.find(key.slice(this.model.length + 1));
      }
    }
    return undefined;
  }

  findByUid(uid) {
    return this.#findBy('uid', uid);
  }

  findByUserCode(userCode) {
    return this.#findBy('userCode', userCode);
  }

  async consume(id) {
    memory.get(`${this.model}:${id}`).payload.consumed = Math.floor(Date.now() / 1000);
    save();
  }

  async destroy(id) {
    memory.delete(`${this.model}:${id}`);
    save();
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of memory) {
      if (key.startsWith(`${this.model}:`) && payload.grantId === grantId) memory.delete(key);
    }
    save();
  }
}

const configuration = {
  adapter: Adapter,
  clients: [
    client('web'),
    client('hasty'),
    client('signed', { userinfo_signed_response_alg: 'RS256' }),
  ],
  claims: {
    openid: ['sub'],
    profile: ['name'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
    account: ['account'],
  },
  cookies: { keys: ['cookies of tests'] },
  features: {
    // The package's own login and consent forms: any password will do.
    devInteractions: { enabled: true },
    jwtUserinfo: { enabled: true },
    // A token for a resource is a JWT with the resource as its audience.
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({ scope: 'orders', accessTokenFormat: 'jwt' }),
    },
    revocation: { enabled: true },
  },
  findAccount: (ctx, accountId) =>
    USERS[accountId] && { accountId, claims: () => ({ sub: accountId, ...USERS[accountId] }) },
  pkce: { required: () => false },
  scopes: ['openid', 'orders'],
  ttl: {
    AccessToken: (ctx, token, { clientId }) => LIFETIMES[clientId],
    AuthorizationCode: 60,
    Grant: 3600,
    IdToken: 3600,
    Interaction: 600,
    Session: 3600,
  },
};

if (STORE) load();
const answer = new Provider(ISSUER, configuration).callback();

const listening = (server, port) =>
  new Promise((resolve, reject) => {
    server.once('error', reject).listen(Number(port), '127.0.0.1', () => resolve(server.address()));
  });

const { port } = await listening(http.createServer(answer), PORT);
if (TLS_PORT) {
  await listening(https.createServer({ key: TLS_KEY, cert: TLS_CERT }, answer), TLS_PORT);
}
console.log(`listening on http://127.0.0.1:${port}`);
