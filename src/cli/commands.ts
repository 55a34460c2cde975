/**
 * All commands by name. One is loaded only when it is called for, which keeps the start short.
 */
import type { Command, Registry } from './command.ts';
import type { Verb } from './verbs.ts';

type Noun = keyof typeof import('./resources.ts').definitions;

/** The verbs of a resource; what they take is in resources.ts. */
function resource(noun: Noun, one: string, all: string): Registry {
  const definition = async () => (await import('./resources.ts')).definitions[noun];
  const verb = (name: Verb) => async () => (await import('./verbs.ts')).verbCommand(name, await definition());
  return {
    [`${noun} create`]: { summary: `create ${one}`, load: verb('create') },
    [`${noun} status`]: {
      summary: `show ${all}`,
      load: async () => (await import('./status.ts')).statusCommand(await definition()),
    },
    [`${noun} update`]: { summary: `change ${one}`, load: verb('update') },
    [`${noun} delete`]: { summary: `delete ${one}`, load: verb('delete') },
    [`${noun} generate`]: { summary: `print ${one} without creating it`, load: verb('generate') },
  };
}

const linkStatus = { kind: 'Link', noun: 'link', none: 'There are no link resources in the namespace' } as const;

/** What Skupper calls `system apply` and `system delete`, with examples that say so. */
function underSystem(command: Command): Command {
  const examples = command.examples.map((each) => ({
    ...each,
    command: each.command.replace('skiff ', 'skiff system '),
  }));
  return { ...command, examples };
}

export const commands: Registry = {
  run: { summary: 'run the site in the foreground', load: async () => (await import('./run.ts')).run },
  apply: { summary: 'add and change documents', load: async () => (await import('./apply.ts')).apply },
  delete: { summary: 'take documents away', load: async () => (await import('./delete.ts')).remove },
  get: { summary: 'show documents', load: async () => (await import('./get.ts')).get },
  export: {
    summary: 'write all documents, to be applied again',
    load: async () => (await import('./export.ts')).exportAll,
  },
  ...resource('site', 'a site', 'how the site is'),
  'site backup': {
    summary: 'write all that the site keeps into an encrypted file',
    load: async () => (await import('./backup.ts')).siteBackup,
  },
  'site restore': {
    summary: 'make a site of a backup',
    load: async () => (await import('./backup.ts')).siteRestore,
  },
  'link status': {
    summary: 'show the links to other sites',
    load: async () => (await import('./status.ts')).statusCommand(linkStatus),
  },
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
  'claim create': {
    summary: 'print what devices enrol with at this hub',
    load: async () => (await import('./claim.ts')).claimCreate,
  },
  'claim list': { summary: 'show the claims', load: async () => (await import('./claim.ts')).claimList },
  'claim show': { summary: 'show a claim', load: async () => (await import('./claim.ts')).claimShow },
  'claim revoke': {
    summary: 'let nobody enrol with a claim any more',
    load: async () => (await import('./claim.ts')).claimRevoke,
  },
  'fleet apply': {
    summary: 'give documents to devices',
    load: async () => (await import('./fleet-desired.ts')).fleetApply,
  },
  'fleet show': { summary: 'show one device', load: async () => (await import('./fleet-desired.ts')).fleetShow },
  'fleet order': {
    summary: 'have something done at a device',
    load: async () => (await import('./fleet-desired.ts')).fleetOrder,
  },
  'fleet replace': {
    summary: 'put another box in the place of a device',
    load: async () => (await import('./fleet-desired.ts')).fleetReplace,
  },
  'fleet devices': { summary: 'show the devices', load: async () => (await import('./fleet.ts')).fleetDevices },
  'fleet groups': { summary: 'show the groups of devices', load: async () => (await import('./fleet.ts')).fleetGroups },
  'fleet approve': {
    summary: 'let devices in that wait',
    load: async () => (await import('./fleet.ts')).fleetApprove,
  },
  'fleet reject': {
    summary: 'turn devices away that wait',
    load: async () => (await import('./fleet.ts')).fleetReject,
  },
  'fleet revoke': {
    summary: 'end what devices may do, for good',
    load: async () => (await import('./fleet.ts')).fleetRevoke,
  },
  'device status': {
    summary: 'show whether this device belongs to a fleet',
    load: async () => (await import('./device.ts')).deviceStatus,
  },
  'device identity': {
    summary: 'show what this machine says of itself',
    load: async () => (await import('./device.ts')).deviceIdentity,
  },
  'device relink': {
    summary: 'take this device to another hub',
    load: async () => (await import('./device.ts')).deviceRelink,
  },
  'device reset': {
    summary: 'wipe all that this device keeps',
    load: async () => (await import('./device.ts')).deviceReset,
  },
  ...resource('listener', 'a listener', 'the listeners'),
  ...resource('connector', 'a connector', 'the connectors'),
  ...resource('mkl', 'a MultiKeyListener', 'the MultiKeyListeners'),
  'system install': {
    summary: 'make the site a service of systemd',
    load: async () => (await import('./system.ts')).systemInstall,
  },
  'system start': { summary: 'start the service', load: async () => (await import('./system.ts')).systemStart },
  'system stop': { summary: 'stop the service', load: async () => (await import('./system.ts')).systemStop },
  'system reload': {
    summary: 'have the site read its files again',
    load: async () => (await import('./system.ts')).systemReload,
  },
  'system apply': { summary: 'as skiff apply', load: async () => underSystem((await import('./apply.ts')).apply) },
  'system delete': {
    summary: 'as skiff delete',
    load: async () => underSystem((await import('./delete.ts')).remove),
  },
  'system status': { summary: 'show how the service is', load: async () => (await import('./system.ts')).systemStatus },
  'system uninstall': {
    summary: 'take the service away, and keep the site',
    load: async () => (await import('./system.ts')).systemUninstall,
  },
  'router stat': {
    summary: 'show what a router of the network knows and does',
    load: async () => (await import('./router-stat.ts')).routerStat,
  },
  'router path': {
    summary: 'show which way connections take, and why',
    load: async () => (await import('./router-path.ts')).routerPath,
  },
  top: { summary: 'watch what links and services carry', load: async () => (await import('./top.ts')).top },
  'debug check': {
    summary: 'find out what is wrong, layer by layer',
    load: async () => (await import('./debug-check.ts')).debugCheck,
  },
  'debug dump': {
    summary: 'write a file for whoever helps',
    load: async () => (await import('./debug-dump.ts')).debugDump,
  },
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
