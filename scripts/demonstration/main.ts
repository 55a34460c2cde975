/**
 * The demo: a hub and a blank store that enrols at it, two processes of dist/skiff on this machine, that reach each other's services over one
 * link, lose it and find it again. The exit code says whether all went well.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { connectFailure, hasCurl } from './clients.ts';
import { type Place, shopListener } from './documents.ts';
import { Service } from './processes.ts';
import { Demo, since } from './show.ts';

const usage = `usage: scripts/demo [--service HOST:PORT] [--keep]

Runs a hub and a store on this machine, and shows what they carry for each other.

  --service HOST:PORT  a service of yours that the store is to reach, in place of the demo's own HTTP server
  --keep               leave everything running, to try things by hand
  -h, --help           show this
`;

const root = join(import.meta.dirname, '../..');
const skiff = join(root, 'dist/skiff');

interface Options {
  help: boolean;
  keep: boolean;
  service: Place | null;
}

function readCommandLine(): Options {
  const { values } = parseArgs({
    options: {
      service: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const { help, keep, service } = values;
  return { help, keep, service: service === undefined ? null : readPlace(service) };
}

function readPlace(text: string): Place {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const host = (match?.[1] ?? match?.[2] ?? '').toLowerCase();
  const port = Number(match?.[3]);
  const isHost = isIP(host) || /^[a-z0-9]+([-.][a-z0-9]+)*$/.test(host);
  if (!isHost || !(port >= 1 && port <= 65535)) throw new Error(`--service takes HOST:PORT, not "${text}"`);
  return { host, port };
}

/** Leaves a script that ends the demo's processes by their ids, unless an id has become another program's. */
function writeStopScript({ directory, services }: Demo): string {
  const script = join(directory, 'stop');
  const pids = services.flatMap(({ pid }) => pid ?? []).join(' ');
  writeFileSync(
    script,
    `# Stops this demo and removes what it left.
ours() { grep -qsF '${directory}' "/proc/$1/cmdline"; }
for pid in ${pids}; do ours "$pid" && kill "$pid"; done
for pid in ${pids}; do while ours "$pid"; do sleep 0.1; done; done
rm -r '${directory}'
`,
  );
  return script;
}

function nextSteps({ data, ports, directory, hub, store, shopSpeaksHttp }: Demo, stop: string): string {
  const program = relative(process.cwd(), skiff);
  const command = program.includes('/') ? program : `./${program}`;
  return `
Everything is left running. What to try next:

  # How the store is, and whom the hub serves
  ${command} site status --data ${data.store}
  ${command} link status --data ${data.store}
  ${command} listener status --data ${data.store}
  ${command} get routeraccess hub -o yaml --data ${data.hub}

  # One port more for the same service, added and taken away while all else goes on
  ${command} apply -f - --data ${data.store} <<'END'
${shopListener('shop2', ports.spare)}END
  curl ${shopSpeaksHttp ? 'http' : 'telnet'}://127.0.0.1:${ports.spare}/
  ${command} delete listener shop2 --data ${data.store}

  # The fleet as the hub sees it, and the device as it sees itself
  ${command} fleet devices --data ${data.hub}
  ${command} device status --data ${data.store}

  # The documents and the logs
  cat ${directory}/hub.yaml ${directory}/claim.yaml
  tail ${hub.logFile} ${store.logFile}

  # Stop it all, and remove it
  sh ${stop}
`;
}

function printFailure(demo: Demo, error: unknown): void {
  console.log(`FAILED\n\nFAILED: ${demo.step}\n  ${(error as Error).message}`);
  for (const service of demo.services) {
    const lines = service.logTail();
    if (lines.length) console.log(`\nThe end of the log of ${service.name}:\n  ${lines.join('\n  ')}`);
  }
}

function endOnSignals(demo: Demo): void {
  for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })) {
    process.on(signal, () => {
      if (Service.ending) return;
      Service.ending = true;
      console.log(`\n${signal}: ending what was started`);
      void demo.end().finally(() => process.exit(128 + number));
    });
  }
}

async function main({ keep, service }: Options): Promise<number> {
  const failure = service && (await connectFailure(service));
  if (failure) {
    console.error(`error: your service cannot be reached: ${failure} (--service). Start it first.`);
    return 1;
  }
  const build = spawnSync(process.execPath, [join(root, 'scripts/build.ts'), '--if-stale'], { stdio: 'inherit' });
  if (build.status !== 0) {
    console.error('error: the build failed, see above (scripts/build.ts).');
    return 1;
  }
  console.log('\nA hub and a store, two processes on this machine:\n');
  if (!hasCurl) console.log("  (There is no curl here, so Node's fetch stands in for it.)\n");
  const started = performance.now();
  const demo = new Demo(root, skiff, service);
  endOnSignals(demo);
  let exitCode = 0;
  try {
    await demo.show();
    console.log(`\nAll of it worked, in ${since(started)}.`);
  } catch (error) {
    // Whoever ended it knows why it did not finish.
    if (Service.ending) return new Promise(() => {});
    printFailure(demo, error);
    exitCode = 1;
  }
  if (keep) {
    const stop = writeStopScript(demo);
    console.log(exitCode === 0 ? nextSteps(demo, stop) : `\nStop what still runs, and remove it: sh ${stop}`);
    return exitCode;
  }
  await demo.end();
  if (exitCode === 0) {
    console.log('\n./scripts/demo --keep leaves it running and says what to try; ./scripts/demo --service HOST:PORT');
    console.log('carries a service of yours. README.md has a walk by hand.');
  }
  return exitCode;
}

try {
  const options = readCommandLine();
  if (options.help) process.stdout.write(usage);
  else process.exitCode = await main(options);
} catch (error) {
  console.error(`error: ${(error as Error).message.replace(/\. To specify.*/s, '')}. See scripts/demo --help.`);
  process.exitCode = 2;
}
