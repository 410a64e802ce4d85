import { ApiError } from './errors.js';
import { sameHash, sha256 } from './ids.js';

const KEY_LIFE_MS = 5_000;

/** Who is asking. App keys are cached for a few seconds: every device of an app presents the same one. */
export class Authenticator {
  constructor(db) {
    this.db = db;
    this.keys = new Map();
  }

  async device({ app_id: appId, device_id: deviceId, api_key: apiKey }) {
    if (!isText(appId) || !isText(deviceId) || !isText(apiKey)) throw new ApiError('MISSING_PARAMS');
    const hash = await this.#keyHash(appId);
    if (!hash || !sameHash(hash, sha256(apiKey))) throw new ApiError('INVALID_CREDENTIALS');
    return { appId, deviceId };
  }

  async agent(adminToken, appId) {
    if (!isText(adminToken)) throw new ApiError('MISSING_PARAMS');
    const token = await this.db.token(adminToken);
    if (!token || (appId !== undefined && token.app_id !== appId)) throw new ApiError('INVALID_CREDENTIALS');
    return { appId: token.app_id, name: token.name, permissions: new Set(token.permissions) };
  }

  #keyHash(appId) {
    const known = this.keys.get(appId);
    if (known && known.until > Date.now()) return known.hash;
    const hash = this.db.keyHash(appId);
    this.keys.set(appId, { hash, until: Date.now() + KEY_LIFE_MS });
    hash.then((found) => found ?? this.keys.delete(appId), () => this.keys.delete(appId));
    return hash;
  }
}

function isText(value) {
  return typeof value === 'string' && value.length > 0 && value.length <= 256;
}
