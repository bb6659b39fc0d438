// What the SDK uses and Node.js 18 does not have. To be imported before it.

import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;
