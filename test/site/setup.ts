/** Documents and a store to try things with. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LinkFacts } from '../../src/router/protocol.ts';
import { DocumentsError } from '../../src/site/problems.ts';
import { type ReadDocument, readDocuments } from '../../src/site/read.ts';
import { Store } from '../../src/store/store.ts';
import { ca, certificate, key } from './credentials.ts';

export function newStore(directory = mkdtempSync(join(tmpdir(), 'site-'))): Store {
  return Store.open(directory, { command: 'test', waitMs: 0 });
}

/** One document as an object, in the form the tests vary. */
export function document(kind: string, name: string, spec: object): object {
  return { apiVersion: 'skupper.io/v2alpha1', kind, metadata: { name }, spec };
}

export const edgeSite = document('Site', 'store1', { edge: true });
export const hubSite = document('Site', 'hub', {});

export function listener(name: string, port = 8080): object {
  return document('Listener', name, { routingKey: name, host: '127.0.0.1', port });
}

export function connector(name: string, port = 5432): object {
  return document('Connector', name, { routingKey: name, host: 'localhost', port });
}

export function link(name: string, spec: object = {}): object {
  const endpoints = [
    { name: 'inter-router', host: 'hub.example', port: '55671' },
    { name: 'edge', host: 'hub.example', port: '45671' },
  ];
  return document('Link', name, { endpoints, tlsCredentials: 'credentials', ...spec });
}

export function access(name: string, roles: object[], spec: object = {}): object {
  return document('RouterAccess', name, { roles, ...spec });
}

export function secret(
  name = 'credentials',
  stringData: object = { 'ca.crt': ca, 'tls.crt': certificate, 'tls.key': key },
) {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'kubernetes.io/tls', stringData };
}

export function read(...documents: object[]): ReadDocument[] {
  return readDocuments([{ name: 'test', text: JSON.stringify(documents) }]);
}

/** The messages of what is wrong, one a line. */
export function problemsOf(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    if (error instanceof DocumentsError) return error.problems.map(({ message }) => message).join('\n');
    throw error;
  }
  return '';
}

/** The facts of a link of which nothing is known yet. */
export const NO_FACTS: LinkFacts = {
  roundTripMs: null,
  octetsIn: 0,
  octetsOut: 0,
  reconnects: 0,
  downCount: 0,
  lastError: null,
  certificateExpires: null,
  certificateDaysLeft: null,
};
