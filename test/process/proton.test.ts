/** Applications with Qpid Proton's client, from Debian's package: what they see at two hubs that are linked, and at an edge. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { edge, hub, neighbour, newNetwork, normalAccess } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { freePort } from '../support/tcp.ts';

/** Debian's own Python, for which the package is. */
const PYTHON = '/usr/bin/python3';

const test = suite('proton');
/** From an edge to the hub beyond its own, within that hub, and back. */
const ways: [near: number, far: number][] = [];

test.before(async () => {
  const network = await newNetwork();
  const beyond = await newNetwork(network.host, network.ca);
  const store = await freePort();
  await Skiff.run({ documents: hub(network) });
  const far = await Skiff.run({ documents: [...hub(beyond, [], 'beyond'), ...neighbour(network, 'hub')] });
  const near = await Skiff.run({ documents: [...edge(network, 'store'), normalAccess(store)] });
  await far.until('Link', 'hub', 'Ready');
  await near.until('Link', 'to-hub', 'Ready');
  ways.push([store, beyond.normalPort], [beyond.normalPort, beyond.normalPort], [beyond.normalPort, store]);
});

test.after(() => Skiff.stopAll());

/** What the program says of a way, between each two ports in turn. */
async function each(way: string, check: (seen: unknown, between: string) => void): Promise<void> {
  for (const ports of ways) {
    const options = { timeout: 60_000, maxBuffer: 1024 * 1024 };
    const args = [join(import.meta.dirname, 'proton-client.py'), way, ...ports.map(String)];
    const { stdout } = await promisify(execFile)(PYTHON, args, options);
    check(JSON.parse(stdout), `${way} between ${ports}`);
  }
}

test('what the receiver does with a message is what its sender hears', () =>
  each('outcomes', (seen, between) => {
    const sent = (outcome: string, body: string): unknown[] => [outcome, body, 9, true];
    const accepted = sent('ACCEPTED', 'accepted');
    const rest = { rejected: sent('REJECTED', 'rejected'), released: sent('RELEASED', 'released') };
    assert.equal(seen, { accepted, ...rest, modified: sent('MODIFIED', 'modified') }, between);
  }));

test('messages that nobody asks about come in their order', () =>
  each('presettled', (seen, between) => {
    assert.equal(
      seen,
      Array.from({ length: 100 }, (_, index) => index),
      between,
    );
  }));

test('a request is answered to an address that the network gives', () =>
  each('requests', (seen, between) => assert.equal(seen, ['ACCEPTED', 7, '12 €'], between)));

test('a receiver that drains gets what is there, and its credit back', () =>
  each('drain', (seen, between) => assert.equal(seen, { bodies: [0, 1, 2], credit: 0 }, between)));

test('mc/ addresses reach every receiver', () => each('multicast', (seen, between) => assert.is(seen, true, between)));

test('a message of 8 MiB arrives whole', () =>
  each('large', (seen, between) => assert.equal(seen, ['ACCEPTED', true], between)));

test('what it may not do is refused in words', () =>
  each('refused', (seen, between) => {
    assert.equal(seen, ['amqp:unauthorized-access', 'amqp:invalid-field'], between);
  }));

if (spawnSync(PYTHON, ['-c', 'import proton']).status === 0) test.run();
else console.log("SKIP proton: Debian's python3-qpid-proton is not installed");
