/**
 * All commands by name. One is loaded only when it is called for, which keeps the start short.
 */
import type { Command } from './command.ts';

export interface CommandEntry {
  summary: string;
  load(): Promise<Command>;
}

const status = async (kind: 'Site' | 'Link' | 'Listener' | 'Connector') =>
  (await import('./status.ts')).statusCommand(kind);

export const commands: Record<string, CommandEntry> = {
  run: { summary: 'run the site in the foreground', load: async () => (await import('./run.ts')).run },
  apply: { summary: 'add and change documents', load: async () => (await import('./apply.ts')).apply },
  delete: { summary: 'take documents away', load: async () => (await import('./delete.ts')).remove },
  get: { summary: 'show documents', load: async () => (await import('./get.ts')).get },
  export: {
    summary: 'write all documents, to be applied again',
    load: async () => (await import('./export.ts')).exportAll,
  },
  'site status': { summary: 'show how the site is', load: () => status('Site') },
  'link status': { summary: 'show the links to other sites', load: () => status('Link') },
  'link generate': {
    summary: 'print what another site needs to link to this one',
    load: async () => (await import('./link-generate.ts')).linkGenerate,
  },
  'link update': { summary: 'change a link', load: async () => (await import('./link.ts')).linkUpdate },
  'link delete': { summary: 'take a link away', load: async () => (await import('./link.ts')).linkDelete },
  'token issue': {
    summary: 'write a file with which another site links to this one',
    load: async () => (await import('./token-issue.ts')).tokenIssue,
  },
  'token redeem': {
    summary: 'link to the site that issued a token',
    load: async () => (await import('./token-redeem.ts')).tokenRedeem,
  },
  'certificate list': {
    summary: 'show the certificates that other sites have from this one',
    load: async () => (await import('./certificate.ts')).certificateList,
  },
  'certificate revoke': {
    summary: 'cut off who has a certificate',
    load: async () => (await import('./certificate.ts')).certificateRevoke,
  },
  'certificate roll': {
    summary: 'put a new CA in the place of one',
    load: async () => (await import('./certificate.ts')).certificateRoll,
  },
  'listener status': { summary: 'show the listeners', load: () => status('Listener') },
  'connector status': { summary: 'show the connectors', load: () => status('Connector') },
  version: { summary: 'show the version', load: async () => (await import('./version.ts')).showVersion },
};
