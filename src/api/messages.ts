/**
 * What travels over the local API, as JSON over HTTP. An error's body is an ErrorFact, with `problems` when documents
 * were refused.
 */
import type { ErrorFact } from '../errors.ts';
import type { DeviceFacts } from '../fleet/agent.ts';
import type { MemberFacts } from '../fleet/member.ts';
import type { LogRecord } from '../log.ts';
import type { AttributeValue, ManagementReply, Traffic } from '../router/protocol.ts';
import type { Change } from '../site/documents.ts';
import type { Reference } from '../site/resources.ts';
import type { SiteFacts } from '../site/site.ts';
import type { Source } from '../site/sources.ts';

/** GET /v1/status */
export interface ApiStatus {
  site: SiteFacts;
  pid: number;
  version: string;
  /** RFC 3339 */
  startTime: string;
  /** Where pages and metrics are; null when there are to be none. */
  http: HttpState | null;
  /** What somebody should look at, such as a damaged database that was moved aside. */
  warnings: ErrorFact[];
}

export interface HttpState {
  /** Once it listens, with the real port, such as `http://127.0.0.1:8080`. */
  url: string | null;
  /** Why it does not. */
  error: ErrorFact | null;
}

/** GET /v1/self-check */
export interface SelfCheck {
  /** Milliseconds of a round trip through the router thread. */
  routerMs: number;
  /** `ok`, or the first thing that SQLite finds wrong. */
  database: string;
}

/** GET /v1/traffic */
export interface TrafficAnswer {
  /** Milliseconds since some moment, the same for all answers of one process: for rates. */
  at: number;
  parts: Traffic[];
}

/** POST /v1/router: a request to the management agent of this router, or of another one or an edge in the network. */
export interface ManageRequest {
  router?: string;
  edge?: string;
  properties: Record<string, AttributeValue>;
  body?: AttributeValue;
}

/** What the agent says, be it that it does not do it. */
export type ManageAnswer = ManagementReply;

/** GET /v1/log: the last records, oldest first. */
export interface LogAnswer {
  records: LogRecord[];
}

/** POST /v1/documents */
export interface ApplyRequest {
  sources: Source[];
}

/** POST /v1/fleet/documents: for the devices of a group, or for one. */
export interface GiveRequest extends ApplyRequest {
  group?: string;
  device?: string;
  /** What is not among them goes. */
  prune?: boolean;
}

/** DELETE /v1/documents */
export interface DeleteRequest {
  documents: Reference[];
}

/** POST /v1/backup */
export interface BackupRequest {
  passphrase: string;
}

export interface BackupAnswer {
  /** The file, in base64. */
  backup: string;
}

/** GET /v1/device */
export interface DeviceAnswer extends DeviceFacts {
  /** How it stands with its controller; null when it belongs to none. */
  controller: MemberFacts | null;
}

/** The answer to a change of documents. */
export interface ChangesAnswer {
  changes: Change[];
}

export interface ErrorAnswer extends ErrorFact {
  problems?: ErrorFact[];
}
