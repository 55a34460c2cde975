/** How a site's process lives and ends: its threads, its signals, its data directory, and kills at any moment. */
import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { evaluateInRouter } from '../support/debugger.ts';
import { eventually, sleep, within } from '../support/eventually.ts';
import { connector, document, edge, hub, listener, newNetwork } from '../support/network.ts';
import { isRunning, newDirectory, Skiff } from '../support/skiff.ts';
import {
  accepts,
  bulk,
  closeSockets,
  connect,
  echo,
  ending,
  exchange,
  freePort,
  read,
  readToEnd,
  untilAccepting,
} from '../support/tcp.ts';

const test = suite('life');

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

/** A site with a listener and a connector of its own. */
async function alone(
  options: { fromSource?: boolean } = {},
): Promise<{ site: Skiff; port: number; documents: object[] }> {
  const [backend, port] = [await echo(), await freePort()];
  const documents = [
    document('Site', 'alone', { edge: true }),
    connector('echo', backend.port),
    listener('echo', port),
  ];
  return { site: await Skiff.run({ documents, ...options }), port, documents };
}

/** Ticks of processor time of each thread of a process, by its id. */
function threadTimes(pid: number): Map<string, number> {
  const ids = readdirSync(`/proc/${pid}/task`);
  return new Map(
    ids.map((id) => {
      const fields = readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
      return [id, Number(fields[11]) + Number(fields[12])];
    }),
  );
}

test('octets are carried by another thread than the one with the database and the API', async () => {
  const { site, port } = await alone();
  const before = threadTimes(site.pid);
  await bulk(await connect(port), 200 * 1024 * 1024);
  const used = [...threadTimes(site.pid)].map(([id, time]) => ({ id, time: time - (before.get(id) ?? 0) }));
  const [busiest] = used.toSorted((a, b) => b.time - a.time);
  const main = used.find(({ id }) => id === String(site.pid));
  assert.is.not(busiest.id, String(site.pid), JSON.stringify(used));
  assert.ok((main?.time ?? 0) * 4 < busiest.time, JSON.stringify(used));
  await site.stop();
});

test('when the router thread dies, the process ends, and says why', async () => {
  for (const [expression, reason] of [
    ["setTimeout(() => { throw new Error('a bug'); })", /the router thread ended by itself: a bug/],
    ['process.exit(0)', /the router thread ended by itself/],
  ] as const) {
    const { site } = await alone({ fromSource: true });
    await evaluateInRouter(site, expression);
    const { code } = await within('the end of the site', site.ended);
    assert.is(code, 1);
    assert.match(site.errors.join('\n'), reason);
    await site.untilLogged(({ level, message }) => level === 'error' && reason.test(message));
    const again = await Skiff.run({ data: site.data });
    assert.is(again.ready.site, 'alone');
    await again.stop();
  }
});

test('no signal opens a debugger in the executable, nor ends it', async () => {
  const { site, port } = await alone();
  site.kill('SIGUSR1');
  assert.is(await exchange(port, 'still there'), 'still there');
  await site.stop();
  assert.equal(site.errors, []);
});

test('SIGTERM lets streams end, takes no new ones, and exits 0', async () => {
  const { site, port } = await alone();
  const stream = await connect(port);
  stream.write('under way');
  await read(stream, 9);
  site.kill('SIGTERM');
  await eventually('nothing new is taken', async () => !(await accepts(port)));
  stream.write('still');
  await read(stream, 5);
  stream.end('the end');
  assert.is((await readToEnd(stream)).toString(), 'the end');
  assert.equal(await within('the end', site.ended), { code: 0, signal: null });
});

test('streams that do not end after SIGTERM are cut, as by a reset', async () => {
  const { site, port } = await alone();
  const endless = await connect(port);
  endless.write('x');
  await read(endless, 1);
  endless.resume();
  site.kill('SIGTERM');
  assert.is(await ending(endless), 'reset');
  assert.equal(await within('the end', site.ended), { code: 0, signal: null });
});

test('a stream whose listener and connector were taken away gets its time and its reset just the same', async () => {
  const { site, port } = await alone();
  const [short, endless] = [await connect(port), await connect(port)];
  for (const socket of [short, endless]) {
    socket.write('x');
    await read(socket, 1);
  }
  await site.delete('Listener', 'echo');
  await site.delete('Connector', 'echo');
  site.kill('SIGTERM');
  await site.untilLogged('ending on SIGTERM');
  short.end('the end');
  assert.is((await readToEnd(short)).toString(), 'the end');
  endless.resume();
  assert.is(await ending(endless), 'reset');
  assert.is((await within('the end', site.ended)).code, 0);
});

test('SIGTERM in the midst of starting, and twice, ends it just the same', async () => {
  const data = newDirectory();
  const starting = Skiff.start({ data, documents: [document('Site', 'hasty', {})] });
  await eventually('it has begun', () => readdirSync(data).includes('control.sock'));
  starting.kill('SIGTERM');
  starting.kill('SIGTERM');
  assert.is((await within('the end', starting.ended)).code, 0);
});

test('a second run on one data directory exits 1 and names the first', async () => {
  const { site, port } = await alone();
  const second = Skiff.start({ data: site.data });
  assert.equal(await within('its end', second.ended), { code: 1, signal: null });
  assert.match(
    second.errors.join('\n'),
    new RegExp(`^error: the data directory is held by process ${site.pid} \\(skiff run, `),
  );
  assert.equal(second.events, []);
  assert.is(await exchange(port, 'undisturbed'), 'undisturbed');
  assert.is((await site.cli('site', 'status')).code, 0);
  await site.stop('SIGKILL');
  const third = await Skiff.run({ data: site.data });
  assert.is(await exchange(port, 'after the kill'), 'after the kill');
  await third.stop();
});

test('a kill in the midst of applying loses nothing that was acknowledged', async () => {
  const data = newDirectory();
  let site = await Skiff.run({ data, documents: [document('Site', 'killed', { edge: true })] });
  const acknowledged = new Set<string>();
  let count = 0;
  for (let round = 0; round < 4; round++) {
    const asking = (async () => {
      for (;;) {
        // Two at a time: both must be there, or neither.
        const name = `l${count++}`;
        const twin = `${name}-twin`;
        await site.apply(connector(name, 1), connector(twin, 1));
        acknowledged.add(name);
      }
    })();
    const stopped = asking.catch(() => {});
    await sleep(50 + Math.random() * 300);
    await site.stop('SIGKILL');
    await stopped;
    site = await Skiff.run({ data });
    const names = new Set(
      (await site.api.list('Connector', { showSecrets: false })).map(({ metadata }) => metadata.name),
    );
    for (const name of acknowledged) assert.ok(names.has(name), `${name} is lost`);
    for (const name of names) {
      if (!name.endsWith('-twin')) assert.ok(names.has(`${name}-twin`), `${name} is there without its twin`);
    }
  }
  assert.ok(acknowledged.size > 4, `${acknowledged.size} were acknowledged`);
  await site.stop();
});

test('a hub that is killed and started again is found by its edges, with all it had', async () => {
  const network = await newNetwork();
  const backend = await echo();
  const port = await freePort();
  const first = await Skiff.run({ documents: [...hub(network), connector('echo', backend.port)] });
  const store = await Skiff.run({ documents: [...edge(network, 'store'), listener('echo', port)] });
  await untilAccepting(port);
  const stream = await connect(port);
  stream.write('x');
  await read(stream, 1);
  stream.resume();
  await first.stop('SIGKILL');
  assert.is(await ending(stream), 'reset');
  await store.until('Listener', 'echo', 'Pending');
  await store.until('Link', 'to-hub', ({ status }) => status.error);
  await eventually('the port is closed', async () => !(await accepts(port)));

  const second = await Skiff.run({ data: first.data });
  assert.is(second.ready.id, first.ready.id);
  await store.until('Link', 'to-hub', 'Ready', 60_000);
  await untilAccepting(port);
  assert.is(await exchange(port, 'back again'), 'back again');
  await store.stop();
  await second.stop();
  assert.not.ok(isRunning(first.pid));
});

test.run();
