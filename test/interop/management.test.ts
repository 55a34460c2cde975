// time limit: 600 s
/**
 * Management between the two kinds: skupper-router's own tools, skstat and skmanage, look at a site of ours, and
 * `skiff router` looks at a skupper-router.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { closeClients } from '../support/amqp.ts';
import { eventually } from '../support/eventually.ts';
import {
  connector,
  edge,
  hub,
  listener,
  type Network,
  neighbour,
  newNetwork,
  normalAccess,
} from '../support/network.ts';
import { type Outcome, Skiff } from '../support/skiff.ts';
import { closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('management with skupper-router');
const idOf = ({ ready }: Skiff): string => `${ready.site}-${String(ready.id).slice(0, 8)}`;

/** Where the tools are that were installed with the router. */
const tools = join(dirname(process.env.SKROUTERD ?? ''), '../bin');

/** Whether its tools can run; says so where they cannot, in the words that count as a skipped test. */
function toolsAvailable(): boolean {
  const missing = !existsSync(join(tools, 'skstat'))
    ? 'skstat is not installed beside SKROUTERD'
    : spawnSync('/usr/bin/python3', ['-c', 'import proton']).status !== 0 && 'python3-qpid-proton is not installed';
  if (missing) console.log(`SKIP interop: ${missing}`);
  return !missing;
}

function tool(name: 'skstat' | 'skmanage', port: number, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(join(tools, name), ['-b', `127.0.0.1:${port}`, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: status, output: `${stdout}${stderr}`, stdout };
}

test.after(async () => {
  await closeClients();
  await closeSockets();
  await SkupperRouter.stopAll();
  await Skiff.stopAll();
});

function testTools(): void {
  let network: Network;
  let site: Skiff;
  let store: Skiff;
  let storePort: number;

  test.before(async () => {
    network = await newNetwork();
    storePort = await freePort();
    const [server, port] = [await echo(), await freePort()];
    site = await Skiff.run({ documents: [...hub(network), listener('erp', port)] });
    store = await Skiff.run({
      documents: [...edge(network, 'store1'), normalAccess(storePort), connector('erp', server.port)],
    });
    await store.until('Link', 'to-hub', 'Ready');
    await untilAccepting(port);
    assert.is(await exchange(port, 'hello'), 'hello');
  });

  test('skstat shows every view of a hub, and of its edge', () => {
    const [here, there] = [idOf(site), idOf(store)];
    for (const [view, ...expected] of [
      ['-g', `Router Id\\s+${here}`, 'Mode\\s+interior', 'Version\\s+\\d'],
      ['-c', `${there}\\s+edge\\s+amqp\\s+in\\s+TLSv1\\.\\d\\(\\w+\\)\\s+CN=store1\\(x\\.509\\)`],
      ['-l', 'endpoint\\s+in', 'edge-downlink\\s+out\\s+\\d+\\s+\\d+\\s+edge'],
      ['-n', `${here}\\s+\\(self\\)`],
      ['-e', `${there}\\s+in`],
      ['-a', 'mobile\\s+erp\\s+balanced', 'local\\s+\\$management', `edge\\s+${there}`],
      ['-m', 'v8_old_space', 'Memory Summary'],
      ['-p', 'Policy Configuration'],
      ['--log', 'takes edge connections'],
    ]) {
      for (const verbose of [[], ['-v']]) {
        const { code, output } = tool('skstat', network.normalPort, view as string, ...verbose);
        assert.is(code, 0, output);
        for (const pattern of expected) assert.match(output, new RegExp(pattern));
      }
    }
    const edgeView = tool('skstat', network.normalPort, '-d', there, '-c');
    assert.match(edgeView.output, new RegExp(`${here}\\s+edge\\s+amqp\\s+out`));
    assert.match(tool('skstat', storePort, '-r', here, '-n').output, new RegExp(`${here}\\s+\\(self\\)`));
    assert.match(tool('skstat', network.normalPort, '--all-routers', '-g').output, new RegExp(here));
  });

  test('skmanage asks for everything, and is told what it may not do', () => {
    const manage = (...args: string[]) => tool('skmanage', network.normalPort, ...args);
    const rows = JSON.parse(manage('query', '--type', 'tcpListener').stdout);
    assert.equal([rows[0].name, rows[0].address], ['listener/erp', 'erp']);
    assert.ok(JSON.parse(manage('query').stdout).length > 30);
    assert.is(
      JSON.parse(manage('read', '--type', 'router', '--identity', `router/${idOf(site)}`).stdout).mode,
      'interior',
    );
    for (const operation of ['get-types', 'get-operations', 'get-attributes', 'get-schema']) {
      assert.ok(Object.keys(JSON.parse(manage(operation).stdout)).length > 1, operation);
    }
    assert.equal(JSON.parse(manage('get-mgmt-nodes').stdout), [`amqp:/_topo/0/${idOf(site)}/$management`]);
    const refused = manage('create', '--type', 'tcpListener', '--name', 'x', 'port=1', 'address=x');
    assert.match(refused.output, /ForbiddenStatus: Forbidden: .*skiff apply/);
    assert.match(manage('JUMP').output, /NotImplementedStatus: Operation 'JUMP' not implemented/);
    assert.match(manage('query', '--type', 'nosuch').output, /BadRequestStatus: No such entity type/);
  });

  test('skmanage closes a connection, which comes back by itself', async () => {
    const manage = (...args: string[]) => tool('skmanage', network.normalPort, ...args);
    const edges = () =>
      JSON.parse(manage('query', '--type', 'connection').stdout).filter(
        ({ role }: { role: string }) => role === 'edge',
      );
    const [{ identity }] = edges();
    assert.is(manage('update', '--type', 'connection', '--identity', identity, 'adminStatus=deleted').code, 0);
    await eventually('another connection is there', () =>
      edges().some((each: { identity: string }) => each.identity !== identity),
    );
    await store.until('Link', 'to-hub', 'Ready');
  });
}

function testCommands(): void {
  const id = 'theirs';
  let theirs: SkupperRouter;
  let store: Skiff;
  let network: Network;

  test.before(async () => {
    network = await newNetwork();
    theirs = new SkupperRouter({
      ...{ id, mode: 'interior', normalPort: network.normalPort, edgePort: network.edgePort },
      credentials: network.ca.issue({ commonName: 'theirs', hosts: ['127.0.0.1', 'localhost'] }),
    });
    await theirs.start();
    await theirs.create('tcpConnector', 'erp', (await echo()).port);
    const port = await freePort();
    store = await Skiff.run({ documents: [...edge(network, 'store1'), listener('erp', port)] });
    await store.until('Link', 'to-hub', 'Ready');
    await untilAccepting(port);
    assert.is(await exchange(port, 'hello'), 'hello');
  });

  const run = async (...args: string[]): Promise<Outcome> => {
    const outcome = await store.cli('router', ...args);
    assert.is(outcome.code, 0, outcome.stderr);
    return outcome;
  };

  test('router stat shows every view of a skupper-router', async () => {
    for (const [view, expected] of [
      ['--general', /Router Id\s+theirs/],
      ['--connections', /store1-\w+\s+edge\s+amqp\s+in/],
      ['--links', /endpoint\s+in/],
      ['--nodes', /theirs\s+\(self\)/],
      ['--edges', /store1-\w+\s+in/],
      ['--address', /mobile\s+erp\s+balanced\s+1/],
      ['--memory', /qd_buffer_t/],
    ] as const) {
      assert.match((await run('stat', view, '--router', id)).stdout, expected, view);
    }
  });

  test('router path goes on where a skupper-router does', async () => {
    const { stdout } = await run('path', 'erp');
    assert.match(stdout, /1\s+store1-\w+\s+uplink theirs/);
    assert.match(stdout, /2\s+theirs\s+consumer \(1 of its own\)\s.*yes\s+the only one/);
  });
}

/** A skupper-router as an edge of ours. */
function testEdge(): void {
  test('an edge that is a skupper-router is asked by its hub, and asks it', async () => {
    const network = await newNetwork();
    const site = await Skiff.run({ documents: [...hub(network), listener('till', await freePort())] });
    const normalPort = await freePort();
    const theirs = new SkupperRouter({
      ...{ id: 'their-edge', mode: 'edge', normalPort, edgePort: network.edgePort },
      credentials: network.ca.issue({ commonName: 'their-edge' }),
    });
    await theirs.start();
    await theirs.create('tcpConnector', 'till', (await echo()).port);
    await site.until('Listener', 'till', 'Ready', 60_000);
    const general = await site.cli('router', 'stat', '--edge', 'their-edge');
    assert.match(general.stdout, /Mode\s+edge/);
    const { code, stdout, stderr } = await site.cli('router', 'path', 'till');
    assert.is(code, 0, stderr);
    assert.match(stdout, /1\s+hub-\w+\s+edge their-edge\s/);
    assert.match(stdout, /2\s+their-edge\s+consumer \(1 of its own\)/);
    if (!toolsAvailable()) return;
    assert.match(tool('skstat', normalPort, '-r', idOf(site), '-e').output, /their-edge\s+in/);
  });
}

/** A skupper-router between two hubs of ours. */
function testBetween(): void {
  const id = 'between';
  let hub1: Skiff;
  let hub2: Skiff;
  let normalPort: number;

  test.before(async () => {
    const between = await newNetwork();
    const one = await newNetwork('127.0.0.1', between.ca);
    const two = await newNetwork('127.0.0.1', between.ca);
    normalPort = between.normalPort;
    const theirs = new SkupperRouter({
      ...{ id, mode: 'interior', normalPort, interRouterPort: between.interRouterPort },
      credentials: between.ca.issue({ commonName: id, hosts: ['127.0.0.1', 'localhost'] }),
    });
    await theirs.start();
    const link = neighbour(between, 'between');
    hub1 = await Skiff.run({ documents: [...hub(one, [], 'hub1'), ...link, listener('far', await freePort())] });
    hub2 = await Skiff.run({ documents: [...hub(two, [], 'hub2'), ...link, connector('far', (await echo()).port)] });
    for (const site of [hub1, hub2]) await site.until('Link', 'between', 'Ready');
    await hub1.until('Listener', 'far', 'Ready', 60_000);
  });

  test('a skupper-router between two hubs is asked, and asks, across the network', async () => {
    const [here, there] = [idOf(hub1), idOf(hub2)];
    const nodes = await hub1.cli('router', 'stat', '--nodes', '--router', id);
    assert.match(nodes.stdout, /between\s+\(self\)/);
    for (const node of [here, there]) assert.match(nodes.stdout, new RegExp(`${node}\\s+${node}\\s+1\\s+between`));
    const far = await hub1.cli('router', 'stat', '-o', 'json', '--router', there);
    assert.is(JSON.parse(far.stdout)[0].id, there);
    const { code, stdout, stderr } = await hub1.cli('router', 'path', 'far');
    assert.is(code, 0, stderr);
    assert.match(stdout, new RegExp(`1\\s+${here}\\s+router ${there}\\s+between\\s+2\\s+0\\s+yes`));
    assert.match(stdout, new RegExp(`2\\s+between\\s+router ${there}\\s+${there}\\s+1\\s+-\\s+yes`));
    assert.match(stdout, new RegExp(`3\\s+${there}\\s+connector far@`));
    if (!toolsAvailable()) return;
    const { output } = tool('skstat', normalPort, '-r', there, '-n', '-v');
    assert.match(output, new RegExp(`${here}\\s+between\\s+-\\s+1\\s+2\\s+\\['between'\\]`));
    assert.match(output, /Last Topology Change: \w+ \w+ \d+ [\d:]+ \d{4} GMT/);
  });
}

if (available()) {
  testEdge();
  testBetween();
  if (toolsAvailable()) testTools();
  testCommands();
}

test.run();
