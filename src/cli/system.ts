/**
 * `system install|start|stop|status|uninstall`: the site as a service of systemd, of the machine or of one user.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ApiClient } from '../api/client.ts';
import { SkiffError } from '../errors.ts';
import { Store } from '../store/store.ts';
import { printChanges } from './apply.ts';
import { command, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { type Column, print, printDocument, printTable } from './output.ts';
import { dataOf, unitText } from './unit.ts';

const userOption = {
  type: 'boolean',
  default: process.getuid?.() !== 0,
  help: 'a service of this user instead of the machine; always so without root',
} as const;

const nameOption = {
  type: 'string',
  value: 'NAME',
  default: 'skiff',
  help: 'what the service is called, for several sites on one machine',
} as const;

interface Service {
  user: boolean;
  name: string;
}

export const systemInstall = command({
  description: `Writes a hardened systemd unit for the site, and has it start with the machine. systemd starts it again when it ends or
hangs. A service of the machine runs as a user of its own, which is made if needed, with no right of root but to open
ports below 1024.`,
  options: {
    user: userOption,
    name: nameOption,
    apply: {
      type: 'string',
      multiple: true,
      value: 'FILE|DIR',
      completion: 'file',
      help: 'documents that the site takes up when it starts, and when it is reloaded',
    },
    'run-as': { type: 'string', value: 'USER', default: 'skiff', help: 'the user of a service of the machine' },
    print: { type: 'boolean', default: false, help: 'print the unit, and do nothing' },
  },
  examples: [
    { for: 'a service of the machine (as root)', command: 'skiff system install' },
    { for: 'a service of this user', command: 'skiff system install --user' },
    { for: 'a second site', command: 'skiff system install --name store2 --data /var/lib/store2' },
    { for: 'what would be written?', command: 'skiff system install --print' },
  ],
  async run({ user, name, apply, 'run-as': runAs, print: printOnly, data }) {
    const service = checked({ user, name });
    if (!/^[a-z_][-a-z0-9_]{0,30}$/.test(runAs))
      throw usageError(`run-as is not valid: "${runAs}"`, 'Give the name of a user');
    const directory = dataDirectory(data);
    const text = unitText({
      executable: process.execPath,
      data: directory,
      user: user ? null : runAs,
      apply: apply.map((path) => resolve(path)),
    });
    if (printOnly) return print(text);
    needNotify();
    if (!user) prepareMachine(runAs, directory);
    const file = unitFile(service);
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
      writeFileSync(file, text, { mode: 0o644 });
      enable(service);
    } catch (error) {
      throw new SkiffError('unwritable', `the unit cannot be written: ${(error as Error).message}`, {
        hint: 'Use root, or --user',
      });
    }
    if (booted()) systemctl(service, 'daemon-reload');
    print(`${file} written, and enabled\n`);
    const flags = `${user && process.getuid?.() === 0 ? ' --user' : ''}${name === 'skiff' ? '' : ` --name ${name}`}`;
    print(
      booted()
        ? `Start it with skiff system start${flags}\n`
        : 'systemd does not run here; the service starts with the machine\n',
    );
    if (user) print('It runs while this user is logged in, and always after: loginctl enable-linger\n');
  },
});

function action(verb: 'start' | 'stop', description: string, done: string) {
  return command({
    description,
    options: { user: userOption, name: nameOption },
    examples: [{ for: `${verb} the site`, command: `skiff system ${verb}` }],
    async run({ user, name }) {
      const service = installed({ user, name });
      if (!booted()) throw new SkiffError('no-systemd', 'systemd does not run here', { hint: 'Use skiff run' });
      systemctl(service, verb, unitOf(service));
      print(`${unitOf(service)} ${done}\n`);
    },
  });
}

export const systemStart = action('start', 'Starts the service; done when the site is ready.', 'started');
export const systemStop = action(
  'stop',
  'Stops the service. Nothing is lost: it goes on from there when it is started.',
  'stopped',
);

export const systemReload = command({
  description: `Has a running site read again the files and directories that it was started with (--apply). What is new is
added, what is different is changed, and no connection that it does not concern is touched; nothing is taken away. SIGHUP
does the same.`,
  options: { user: userOption, name: nameOption, output: outputOption },
  examples: [
    { for: 'take up what was changed in the files', command: 'skiff system reload' },
    { for: 'of a site that is no service', command: 'skiff system reload --data /srv/skiff/store2' },
  ],
  async run({ user, name, output, data }) {
    const directory = data === undefined ? dataOfService(installed({ user, name })) : dataDirectory(data);
    await printChanges(await new ApiClient(directory).reload(), output);
  },
});

interface ServiceStatus {
  unit: string;
  enabled: string;
  active: string;
  restarts: number | null;
  pid: number | null;
  /** The name of the site, null while there is none; what keeps it from answering. */
  site: string | null;
  problem: string | null;
}

export const systemStatus = command({
  description: 'Shows what systemd says of the service, and whether the site answers.',
  options: { user: userOption, name: nameOption, output: outputOption },
  examples: [{ for: 'does it run?', command: 'skiff system status' }],
  async run({ user, name, output }) {
    const service = installed({ user, name });
    const status = { ...serviceStatus(service), ...(await answering(service)) };
    if (output !== 'table') return printDocument(status, output);
    printTable(columns, [status]);
  },
});

const columns: Column<ServiceStatus>[] = [
  { header: 'UNIT', value: ({ unit }) => unit },
  { header: 'ENABLED', value: ({ enabled }) => enabled },
  { header: 'ACTIVE', value: ({ active }) => active },
  { header: 'PID', value: ({ pid }) => String(pid ?? '') },
  { header: 'RESTARTS', value: ({ restarts }) => String(restarts ?? '') },
  { header: 'SITE', value: ({ site, problem }) => problem ?? site ?? 'no site yet' },
];

function serviceStatus(service: Service): Omit<ServiceStatus, 'site' | 'problem'> {
  const unit = unitOf(service);
  if (!booted()) return { unit, enabled: 'unknown', active: 'systemd does not run here', restarts: null, pid: null };
  const text = systemctl(service, 'show', unit, '--property=UnitFileState,ActiveState,SubState,MainPID,NRestarts');
  const facts = Object.fromEntries(
    text
      .trim()
      .split('\n')
      .map((line) => line.split('=', 2)),
  );
  return {
    unit,
    enabled: facts.UnitFileState ?? 'unknown',
    active: `${facts.ActiveState} (${facts.SubState})`,
    restarts: Number(facts.NRestarts),
    pid: Number(facts.MainPID) || null,
  };
}

async function answering(service: Service): Promise<Pick<ServiceStatus, 'site' | 'problem'>> {
  try {
    const { site } = await new ApiClient(dataOfService(service)).status();
    return { site: site.site, problem: null };
  } catch (error) {
    return { site: null, problem: (error as Error).message };
  }
}

export const systemUninstall = command({
  description: 'Stops the service and takes its unit away. The data directory stays, unless --purge is given.',
  options: {
    user: userOption,
    name: nameOption,
    purge: { type: 'boolean', default: false, help: 'remove the data directory, too: the site, its keys, everything' },
  },
  examples: [
    { for: 'take the service away, keep the site', command: 'skiff system uninstall' },
    { for: 'leave nothing behind', command: 'skiff system uninstall --purge' },
  ],
  async run({ user, name, purge }) {
    const service = installed({ user, name });
    const data = dataOfService(service);
    if (booted()) systemctl(service, 'stop', unitOf(service));
    rmSync(enabledLink(service), { force: true });
    rmSync(unitFile(service));
    if (booted()) systemctl(service, 'daemon-reload');
    print(`${unitFile(service)} removed\n`);
    if (!purge) return print(`The site is kept in ${data}\n`);
    // Only what is a site's directory is taken away as a whole.
    if (Store.exists(data)) rmSync(data, { recursive: true });
    print(`${data} removed\n`);
  },
});

function checked(service: Service): Service {
  if (/^[a-z0-9][-a-z0-9_]*$/.test(service.name)) return service;
  throw usageError(`name is not valid: "${service.name}"`, 'Use lower-case letters, digits and "-"');
}

function installed(service: Service): Service {
  if (existsSync(unitFile(checked(service)))) return service;
  throw new SkiffError('not-installed', `there is no such service (${unitFile(service)})`, {
    hint: 'Install it with skiff system install, or say which with --name and --user',
  });
}

function unitOf({ name }: Service): string {
  return `${name}.service`;
}

function unitFile(service: Service): string {
  const config = process.env.XDG_CONFIG_HOME || join(homedir(), '.config');
  return join(service.user ? join(config, 'systemd/user') : '/etc/systemd/system', unitOf(service));
}

/** What `systemctl enable` makes, which that does not where systemd does not run. */
function enabledLink(service: Service): string {
  const target = service.user ? 'default' : 'multi-user';
  return join(dirname(unitFile(service)), `${target}.target.wants`, unitOf(service));
}

function enable(service: Service): void {
  const link = enabledLink(service);
  mkdirSync(dirname(link), { recursive: true, mode: 0o755 });
  rmSync(link, { force: true });
  symlinkSync(unitFile(service), link);
}

function dataOfService(service: Service): string {
  return dataOf(readFileSync(unitFile(service), 'utf8')) ?? dataDirectory(undefined);
}

/** Whether systemd is what runs this machine. */
function booted(): boolean {
  return existsSync('/run/systemd/system');
}

function systemctl({ user }: Service, ...words: string[]): string {
  return call('systemctl', [...(user ? ['--user'] : []), ...words]);
}

function call(program: string, words: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, words, { encoding: 'utf8' });
  if (status === 0) return stdout;
  const reason = error?.message ?? (stderr.trim() || `it exited with ${status}`);
  throw new SkiffError('system-failed', `${[program, ...words].join(' ')} failed: ${reason}`, {
    hint: error ? 'This needs a machine with systemd' : 'journalctl -u skiff may tell more',
  });
}

/** Without it systemd would never hear that the site is ready, and start it again for ever. */
function needNotify(): void {
  if (!spawnSync('systemd-notify', ['--version']).error) return;
  throw new SkiffError('no-systemd', 'there is no systemd-notify, by which systemd hears that the site is alive', {
    hint: 'Install the package systemd, or let another service manager run skiff run',
  });
}

/** The user of the service, and a data directory and an executable that it can use. */
function prepareMachine(user: string, data: string): void {
  for (let path = process.execPath; path !== '/'; path = dirname(path)) {
    if (statSync(path).mode & 0o001) continue;
    throw new SkiffError('unwritable', `another user cannot run ${process.execPath} (${path} is closed to others)`, {
      hint: 'Copy it to /usr/local/bin, and install from there',
    });
  }
  if (spawnSync('id', ['-u', user]).status !== 0) {
    const home = ['--home-dir', data, '--no-create-home', '--shell', '/usr/sbin/nologin'];
    call('useradd', ['--system', '--user-group', ...home, user]);
  }
  // systemd makes those under /var/lib itself, and gives them to the user.
  if (data.startsWith('/var/lib/')) return;
  mkdirSync(data, { recursive: true, mode: 0o700 });
  call('chown', ['-R', `${user}:`, data]);
}
