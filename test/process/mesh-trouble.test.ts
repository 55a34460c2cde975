/** What is amiss between interior sites is refused or bounded, shown at the site that sees it, and harms nobody else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { connector, edge, hub, listener, type Network, neighbour, newNetwork } from '../support/network.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('mesh trouble');

let network: Network;
let center: Skiff;
let port: number;

test.before(async () => {
  network = await newNetwork();
  center = await Skiff.run({ documents: [...hub(network, [], 'center'), connector('echo', (await echo()).port)] });
  const store = await Skiff.run({ documents: edge(network, 'store') });
  port = await freePort();
  await store.apply(listener('echo', port));
  await untilAccepting(port);
});

test.after.each(async () => {
  assert.is(await exchange(port, 'still here'), 'still here');
});

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

interface Problem {
  code: string;
  router: string | null;
}

const problemsOf = ({ status }: Shown): Problem[] => (status.problems ?? []) as Problem[];

/** An interior site, linked to the center. */
async function site(name: string, uid?: string): Promise<Skiff> {
  const [own, ...rest] = hub(await newNetwork('127.0.0.1', network.ca), [], name);
  const document = uid ? { ...own, metadata: { name, uid } } : own;
  return Skiff.run({ documents: [document, ...rest, ...neighbour(network, 'center')].filter(Boolean) as object[] });
}

test('a site with the id of the one it links to is told so', async () => {
  const copy = await site('center', center.ready.id as string);
  const link = await copy.until('Link', 'center', 'Error');
  assert.match(link.status.message, /the id of this one/);
  await copy.stop();
});

test('two neighbours with one id are seen, and shown', async () => {
  const uid = 'c0b1e000-0000-4000-8000-000000000002';
  const copies = [await site('copied', uid), await site('copied', uid)];
  await center.until('Site', 'center', (document) =>
    problemsOf(document).some(({ code, router }) => code === 'duplicate-router-id' && router === 'copied-c0b1e000'),
  );
  const { status } = await center.get('Site', 'center');
  assert.match(status.conditions.find(({ type }) => type === 'NetworkAmiss')?.message ?? '', /copied-c0b1e000/);
  assert.is(status.status, 'Ready', 'the site serves everybody else');
  await Promise.all(copies.map((copy) => copy.stop()));
});

test('an interior site that dials the port for edges is told so', async () => {
  const wrong = { ...network, interRouterPort: network.edgePort };
  const [own, ...rest] = hub(await newNetwork('127.0.0.1', network.ca), [], 'astray');
  const astray = await Skiff.run({ documents: [own as object, ...rest, ...neighbour(wrong, 'center')] });
  const link = await astray.until('Link', 'center', 'Error');
  assert.match(link.status.message, /port for interior routers/);
  await astray.stop();
});

test.run();
