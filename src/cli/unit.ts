/**
 * The systemd unit of a site: what it runs, what watches over it, and everything it is kept from.
 */

export interface UnitOptions {
  executable: string;
  data: string;
  /** Files and directories of documents. */
  apply: string[];
  /** The user of a unit of the system; null for a unit of the user who installs it. */
  user: string | null;
}

export function unitText({ executable, data, apply, user }: UnitOptions): string {
  const sections: Record<string, string[]> = {
    Unit: [
      'Description=Skiff, a site of an application network',
      'After=network.target',
      // A site is never given up: whoever could start it by hand may be far away.
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=notify',
      // Messages come from the program systemd-notify, another process.
      'NotifyAccess=all',
      `ExecStart=${[quoted(executable), 'run', ...apply.map((path) => `--apply ${quoted(path)}`)].join(' ')}`,
      // It waits for the outcome, and says what is wrong, which a signal does not.
      `ExecReload=${quoted(executable)} system reload --data ${quoted(data)}`,
      `Environment=${quoted(`SKIFF_DATA=${data}`, false)}`,
      'Restart=always',
      'RestartSec=2',
      'WatchdogSec=30',
      'TimeoutStopSec=15',
      'KillMode=mixed',
      'LimitNOFILE=524288',
      // An image of the memory would hold keys.
      'LimitCORE=0',
      'UMask=0077',
      '',
      ...(user === null ? [] : systemOnly(data, user, [executable, data, ...apply])),
      ...anywhere,
    ],
    Install: [`WantedBy=${user === null ? 'default' : 'multi-user'}.target`],
  };
  return Object.entries(sections)
    .map(([name, lines]) => `[${name}]\n${lines.join('\n')}\n`)
    .join('\n');
}

/** What needs no privilege of the service manager. V8 compiles to memory, so that must stay writable and executable. */
const anywhere = [
  'NoNewPrivileges=yes',
  'LockPersonality=yes',
  'MemoryDenyWriteExecute=no',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallErrorNumber=EPERM',
];

function systemOnly(data: string, user: string, paths: string[]): string[] {
  const state = /^\/var\/lib\/([^/]+(?:\/[^/]+)*)$/.exec(data)?.[1];
  return [
    `User=${user}`,
    ...(state
      ? [`StateDirectory=${quoted(state, false)}`, 'StateDirectoryMode=0700']
      : [`ReadWritePaths=${quoted(data, false)}`]),
    // All that is left of root: ports below 1024.
    'AmbientCapabilities=CAP_NET_BIND_SERVICE',
    'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
    'ProtectSystem=strict',
    `ProtectHome=${paths.some((path) => /^\/(home|root|run\/user)\//.test(path)) ? 'read-only' : 'yes'}`,
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'DevicePolicy=closed',
    'PrivateIPC=yes',
    'ProtectClock=yes',
    'ProtectControlGroups=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'ProtectProc=invisible',
    'RemoveIPC=yes',
    'KeyringMode=private',
  ];
}

/** As systemd reads a word; `$` means something only in a command. */
function quoted(word: string, inCommand = true): string {
  const escaped = word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%');
  return `"${inCommand ? escaped.replaceAll('$', '$$$$') : escaped}"`;
}

/** The data directory that a unit names. */
export function dataOf(text: string): string | undefined {
  const word = /^Environment="SKIFF_DATA=(.*)"$/m.exec(text)?.[1];
  return word?.replaceAll('%%', '%').replaceAll('\\"', '"').replaceAll('\\\\', '\\');
}
