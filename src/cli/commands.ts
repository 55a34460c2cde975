/**
 * All commands by name. One is loaded only when it is called for, which keeps the start short.
 */
import type { Registry } from './command.ts';

const status = async (kind: 'Site' | 'Link' | 'Listener' | 'Connector') =>
  (await import('./status.ts')).statusCommand(kind);

export const commands: Registry = {
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
  'listener status': { summary: 'show the listeners', load: () => status('Listener') },
  'connector status': { summary: 'show the connectors', load: () => status('Connector') },
  version: { summary: 'show the version', load: async () => (await import('./version.ts')).showVersion },
  completion: {
    summary: 'print a script that makes a shell complete commands',
    load: async () => (await import('./completion.ts')).completion,
  },
  man: { summary: 'print the manual page', load: async () => (await import('./man.ts')).manCommand(commands) },
  complete: {
    summary: 'complete a command line',
    load: async () => (await import('./complete.ts')).completeCommand(commands),
    hidden: true,
    raw: true,
  },
};
