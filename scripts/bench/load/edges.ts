/**
 * Plays edge sites, `edges.ts FILE` with FILE an EdgesJob: the router of each is Skiff's own, with a link to the hub and
 * a connector that nobody uses. It prints one JSON line when all are linked, and stays until it is ended.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { PartState } from '../../../src/router/protocol.ts';
import { Parts } from '../../../src/tcp/parts.ts';

export interface EdgesJob {
  port: number;
  edges: number;
  /** How long it stays at most. */
  seconds: number;
  ca: string;
  certificate: string;
  key: string;
}

/** Edges that dial at the same time. */
const AT_ONCE = 8;

const { port, edges, seconds, ca, certificate, key } = JSON.parse(readFileSync(process.argv[2], 'utf8')) as EdgesJob;

function link(index: number): Promise<void> {
  const siteName = `edge-${index}`;
  const siteId = randomUUID();
  return new Promise((resolve) => {
    const report = (states: PartState[]): void => {
      if (states.some((state) => state.kind === 'link' && state.status === 'up')) resolve();
    };
    const identity = { id: `${siteName}-${siteId.slice(0, 8)}`, mode: 'edge' as const, siteId, siteName, version: '0' };
    const parts = new Parts(identity, report);
    const endpoints = [{ host: '127.0.0.1', port }];
    void parts.apply(
      [
        { kind: 'link', name: 'uplink', role: 'edge', endpoints, cost: 1, tls: { ca, certificate, key } },
        { kind: 'connector', name: 'server', routingKey: `server-${index}`, host: '127.0.0.1', port: 1 },
      ],
      [],
    );
  });
}

const limit = setTimeout(() => process.exit(1), seconds * 1_000);
limit.unref();
const began = performance.now();
let next = 0;
const run = async (): Promise<void> => {
  while (next < edges) await link(next++);
};
await Promise.all(Array.from({ length: AT_ONCE }, run));
console.log(JSON.stringify({ ready: true, seconds: (performance.now() - began) / 1_000 }));
