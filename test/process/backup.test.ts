/** `site backup` and `site restore` on the executable: a running site is saved, and comes to life elsewhere. */
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { connector, edge, hub, listener, newNetwork } from '../support/network.ts';
import { newDirectory, Skiff, skiff } from '../support/skiff.ts';
import { closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('backup');

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

test('a hub that burnt down is itself again on another machine, and its stores find it', async () => {
  const network = await newNetwork();
  const [backend, port] = [await echo(), await freePort()];
  const first = await Skiff.run({ documents: [...hub(network), connector('erp', backend.port)] });
  const store = await Skiff.run({ documents: [...edge(network, 'store'), listener('erp', port)] });
  await untilAccepting(port);
  const file = join(newDirectory(), 'hub.skiff');
  const passphrase = join(newDirectory(), 'passphrase');
  writeFileSync(passphrase, 'correct horse\n');
  const words = [file, '--passphrase-file', passphrase];
  const saved = await first.cli('site', 'backup', ...words);
  assert.is(saved.stdout, `${file} written\n`, saved.stderr);
  assert.is(statSync(file).mode & 0o777, 0o600);
  assert.is(await exchange(port, 'it went on meanwhile'), 'it went on meanwhile');
  const [secret] = await first.api.list('Secret', { showSecrets: true });
  const key = (secret.data as Record<string, string>)['tls.key'];
  assert.not.ok(readFileSync(file).includes(key.slice(0, 40)));
  const running = await first.cli('site', 'restore', ...words, '--force');
  assert.is(running.code, 1);
  assert.match(running.stderr, /is held by process/);
  await first.stop('SIGKILL');

  const data = join(newDirectory(), 'new');
  const restored = await skiff(['site', 'restore', ...words, '--data', data]);
  assert.match(restored.stdout, /^Site "hub" is as it was at 20/, restored.stderr);
  assert.is((await skiff(['site', 'restore', ...words, '--data', data])).code, 2, 'there is one now');
  const second = await Skiff.run({ data });
  assert.is(second.ready.id, first.ready.id);
  await store.until('Link', 'to-hub', 'Ready', 60_000);
  await untilAccepting(port);
  assert.is(await exchange(port, 'back again'), 'back again');
  await store.stop();
  await second.stop();

  const copy = newDirectory();
  copyFileSync(join(data, 'skiff.db'), join(copy, 'skiff.db'));
  const stolen = await skiff(['get', 'secret', '--show-secrets', '--data', copy]);
  assert.is(stolen.code, 1);
  assert.match(
    stolen.stderr,
    /^error: the database is sealed, and the key is not there \(.*skiff\.key\)\. Put skiff\.key back/,
  );
  const started = Skiff.start({ data: copy });
  assert.is((await started.ended).code, 1);
  assert.match(started.errors.join(), /the database is sealed/);
});

test('without a passphrase, or with a wrong one, nothing is made', async () => {
  const data = newDirectory();
  await skiff(['site', 'create', 's', '--data', data]);
  const file = join(newDirectory(), 'b');
  const none = await skiff(['site', 'backup', file, '--data', data]);
  assert.is(none.code, 2);
  assert.match(none.stderr, /^error: there is no passphrase\. Give --passphrase-file/);
  const withPassphrase = (words: string[], input: string) =>
    skiff([...words, '--passphrase-file', '-', '--data', data], { input });
  assert.match((await withPassphrase(['site', 'backup', file], 'short\n')).stderr, /fewer than 8 characters/);
  assert.not.ok(existsSync(file));
  assert.is((await withPassphrase(['site', 'backup', file], 'long enough\n')).code, 0, 'of a stopped site, too');
  const wrong = await withPassphrase(['site', 'restore', file, '--force'], 'long enouhg\n');
  assert.is(wrong.code, 1);
  assert.match(wrong.stderr, /^error: the passphrase is wrong, or the backup was changed .*Nothing was changed\.\n$/);
  assert.is((await skiff(['get', 'site', 's', '--data', data])).code, 0);
  assert.is((await withPassphrase(['site', 'backup', '/nonexistent/b'], 'long enough\n')).code, 1);
});

test.run();
