/**
 * The local API from the other side: what a command asks a running site.
 */
import { type IncomingMessage, request } from 'node:http';
import { SkiffError } from '../errors.ts';
import type { DeviceFacts } from '../fleet/agent.ts';
import type { ShownDevice } from '../fleet/controller.ts';
import type { Decision } from '../fleet/fleet.ts';
import type { HardwareIdentity } from '../health/identity.ts';
import type { LogRecord } from '../log.ts';
import type { Change } from '../site/documents.ts';
import type { IssuedFact } from '../site/issued.ts';
import type { LinkRequest } from '../site/links.ts';
import { DocumentsError } from '../site/problems.ts';
import type { RenderedDocument, RenderOptions } from '../site/render.ts';
import type { Kind, Reference } from '../site/resources.ts';
import type { Source } from '../site/sources.ts';
import type { AuditEntry } from '../store/audit.ts';
import type {
  ApiStatus,
  ApplyRequest,
  BackupAnswer,
  BackupRequest,
  ChangesAnswer,
  DeleteRequest,
  DeviceAnswer,
  ErrorAnswer,
  GiveRequest,
  LogAnswer,
  ManageAnswer,
  ManageRequest,
  SelfCheck,
  TrafficAnswer,
} from './messages.ts';
import { socketPath } from './socket.ts';

export class ApiClient {
  readonly running = true;
  readonly #path: string;

  constructor(directory: string) {
    this.#path = socketPath(directory);
  }

  async status(): Promise<ApiStatus> {
    return (await this.#ask('GET', '/v1/status')) as ApiStatus;
  }

  async selfCheck(): Promise<SelfCheck> {
    return (await this.#ask('GET', '/v1/self-check')) as SelfCheck;
  }

  async traffic(): Promise<TrafficAnswer> {
    return (await this.#ask('GET', '/v1/traffic')) as TrafficAnswer;
  }

  /** Asks the management agent of a router of the network. */
  async manage(request: ManageRequest): Promise<ManageAnswer> {
    return (await this.#ask('POST', '/v1/router', request)) as ManageAnswer;
  }

  async log(): Promise<LogRecord[]> {
    return ((await this.#ask('GET', '/v1/log')) as LogAnswer).records;
  }

  async list(kind: Kind, options: RenderOptions): Promise<RenderedDocument[]> {
    return (await this.#ask('GET', `/v1/documents/${kind}${query(options)}`)) as RenderedDocument[];
  }

  async get({ kind, name }: Reference, options: RenderOptions): Promise<RenderedDocument> {
    const path = `/v1/documents/${kind}/${encodeURIComponent(name)}${query(options)}`;
    return (await this.#ask('GET', path)) as RenderedDocument;
  }

  async export(options: RenderOptions): Promise<RenderedDocument[]> {
    return (await this.#ask('GET', `/v1/export${query(options)}`)) as RenderedDocument[];
  }

  async apply(sources: Source[]): Promise<Change[]> {
    const body: ApplyRequest = { sources };
    return ((await this.#ask('POST', '/v1/documents', body)) as ChangesAnswer).changes;
  }

  async delete(documents: Reference[]): Promise<Change[]> {
    const body: DeleteRequest = { documents };
    return ((await this.#ask('DELETE', '/v1/documents', body)) as ChangesAnswer).changes;
  }

  /** The files that the site was started with, as they are now. */
  async reload(): Promise<Change[]> {
    return ((await this.#ask('POST', '/v1/reload')) as ChangesAnswer).changes;
  }

  async issued(): Promise<IssuedFact[]> {
    return (await this.#ask('GET', '/v1/certificates')) as IssuedFact[];
  }

  async revoke(certificates: string[]): Promise<IssuedFact[]> {
    return (await this.#ask('POST', '/v1/certificates/revoke', { certificates })) as IssuedFact[];
  }

  /** Another CA in the place of this one; `finish`: those before it are believed no more. */
  async roll(authority: string, finish: boolean): Promise<void> {
    await this.#ask('POST', `/v1/authorities/${encodeURIComponent(authority)}/roll${finish ? '?finish=true' : ''}`);
  }

  /** Redeems the tokens in these texts. */
  async redeem(sources: Source[]): Promise<Change[]> {
    const body: ApplyRequest = { sources };
    return ((await this.#ask('POST', '/v1/tokens/redeem', body)) as ChangesAnswer).changes;
  }

  /** A Secret and a Link for another site. */
  async generateLink(request: LinkRequest): Promise<RenderedDocument[]> {
    return (await this.#ask('POST', '/v1/links', request)) as RenderedDocument[];
  }

  /** Nobody enrols with that claim any more. */
  async revokeClaim(name: string): Promise<void> {
    await this.#ask('POST', `/v1/claims/${encodeURIComponent(name)}/revoke`);
  }

  /** Devices by their names, or by the words of their keys. */
  async decide(decision: Decision, devices: string[]): Promise<{ name: string; state: string }[]> {
    return (await this.#ask('POST', `/v1/fleet/${decision}`, { devices })) as { name: string; state: string }[];
  }

  /** Everything about one device of the fleet. */
  async showDevice(name: string): Promise<ShownDevice> {
    return (await this.#ask('GET', `/v1/fleet/devices/${encodeURIComponent(name)}`)) as ShownDevice;
  }

  /** Has something done at a device, at once or when it is back. */
  async order(name: string, verb: string, withinMs: number): Promise<{ id: string; state: string }> {
    const path = `/v1/fleet/devices/${encodeURIComponent(name)}/orders`;
    return (await this.#ask('POST', path, { verb, withinMs })) as { id: string; state: string };
  }

  /** Puts the box with this serial in the place of a device. */
  async replace(name: string, serial: string): Promise<{ done: boolean }> {
    const path = `/v1/fleet/devices/${encodeURIComponent(name)}/replacement`;
    return (await this.#ask('POST', path, { serial })) as { done: boolean };
  }

  /** Gives documents to the devices of a group, or to one. */
  async give(request: GiveRequest): Promise<Change[]> {
    return ((await this.#ask('POST', '/v1/fleet/documents', request)) as ChangesAnswer).changes;
  }

  /** What was decided of devices, the latest first. */
  async audit(): Promise<AuditEntry[]> {
    return (await this.#ask('GET', '/v1/fleet/audit')) as AuditEntry[];
  }

  /** What the device knows of itself. */
  async device(): Promise<DeviceAnswer> {
    return (await this.#ask('GET', '/v1/device')) as DeviceAnswer;
  }

  async identity(): Promise<HardwareIdentity> {
    return (await this.#ask('GET', '/v1/device/identity')) as HardwareIdentity;
  }

  /** Leaves its hub for that of another claim. */
  async relink(claim: string): Promise<DeviceFacts> {
    return (await this.#ask('POST', '/v1/device/relink', { claim })) as DeviceFacts;
  }

  async reset(): Promise<void> {
    await this.#ask('POST', '/v1/device/reset');
  }

  async backup(passphrase: string): Promise<Buffer> {
    const body: BackupRequest = { passphrase };
    return Buffer.from(((await this.#ask('POST', '/v1/backup', body)) as BackupAnswer).backup, 'base64');
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = Promise.withResolvers<IncomingMessage>();
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = { 'content-length': Buffer.byteLength(text) };
    const asking = request({ socketPath: this.#path, method, path, headers, agent: false }, answer.resolve);
    asking.on('error', answer.reject);
    asking.end(text);
    try {
      const response = await answer.promise;
      const result: unknown = JSON.parse(await textOf(response));
      if (response.statusCode === 200) return result;
      throw errorFrom(result as ErrorAnswer);
    } catch (error) {
      throw error instanceof SkiffError ? error : unreachable(error as NodeJS.ErrnoException, this.#path);
    }
  }
}

function query({ showSecrets }: RenderOptions): string {
  return showSecrets ? '?show-secrets=true' : '';
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}

function errorFrom(answer: ErrorAnswer): SkiffError {
  return answer.problems ? new DocumentsError(answer.problems) : SkiffError.fromFact(answer);
}

/** What connecting to a socket says when nobody can be behind it; a path too long for a socket has none. */
const nobodyThere = ['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ENAMETOOLONG', 'EINVAL'];

function unreachable(error: NodeJS.ErrnoException, path: string): SkiffError {
  if (nobodyThere.includes(error.code ?? '')) {
    return new SkiffError('not-running', `the site is not running (${path})`, {
      hint: 'Start it with skiff run, or say where it is with --data',
    });
  }
  return new SkiffError('unreachable', `the site does not answer: ${error.message} (${path})`, {
    hint: error.code === 'EACCES' ? 'Use the user that the site runs as' : 'Look at its log',
  });
}
