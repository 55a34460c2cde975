/** The verbs of each kind, as one types them, on the executable: running, stopped, waiting, and completed by a shell. */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { connector, document } from '../support/network.ts';
import { executable, newDirectory, Skiff, skiff } from '../support/skiff.ts';
import { closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('verbs');

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

test('a site is made, used, changed and taken apart with verbs alone', async () => {
  const site = await Skiff.run({});
  const [backend, other, port] = [await echo(), await echo(), await freePort()];
  const early = await site.cli('listener', 'create', 'early', String(await freePort()));
  assert.match(early.stderr, /^warning: there is no site yet\. Create it with skiff site create\.$/m);
  assert.is(early.stdout, 'Listener "early" is created.\n');

  assert.is((await site.cli('site', 'create', 'store1', '--edge')).stdout, 'Site "store1" is ready.\n');
  const again = await site.cli('site', 'create', 'store2');
  assert.is(again.code, 2);
  assert.match(again.stderr, /^error: There is already a site created\. .*skiff site update store1/);

  const made = await site.cli('connector', 'create', 'erp', String(backend.port), '--host', '127.0.0.1');
  assert.is(made.stdout, 'Connector "erp" is configured.\n', made.stderr);
  const heard = await site.cli('listener', 'create', 'erp', String(port), '--host', '127.0.0.1', '--wait=ready');
  assert.is(heard.stdout, 'Listener "erp" is ready.\n', heard.stderr);
  await untilAccepting(port);
  assert.is(await exchange(port, 'hello'), 'hello');
  const twice = await site.cli('listener', 'create', 'erp', '1234');
  assert.is(twice.code, 2);
  assert.match(twice.stderr, /There is already a listener erp created/);

  // A field that no option names is kept.
  await site.apply(document('Listener', 'erp', { routingKey: 'erp', host: '127.0.0.1', port, observer: 'none' }));
  const updated = await site.cli('connector', 'update', 'erp', '--port', String(other.port));
  assert.is(updated.stdout, 'Connector "erp" is updated.\n', updated.stderr);
  assert.is((await site.get('Connector', 'erp')).spec?.host, '127.0.0.1');
  assert.is((await site.get('Connector', 'erp')).spec?.port, other.port);
  await site.cli('listener', 'update', 'erp', '--routing-key', 'nobody');
  assert.equal((await site.get('Listener', 'erp')).spec, {
    routingKey: 'nobody',
    host: '127.0.0.1',
    port,
    observer: 'none',
  });
  assert.is((await site.cli('listener', 'update', 'none', '--port', '1')).code, 1);

  assert.is((await site.cli('listener', 'delete', 'erp')).stdout, 'Listener "erp" deleted\n');
  assert.match((await site.cli('listener', 'delete', 'erp')).stderr, /^error: listener erp does not exist\.\n$/);
  assert.is(
    (await site.cli('site', 'delete', '--all')).stdout,
    'Connector "erp" deleted\nListener "early" deleted\nSite "store1" deleted\n',
  );
  assert.is((await site.cli('site', 'status')).stdout, 'There is no existing Skupper site resource\n');
  await site.stop();
});

test('waiting ends with 4 when the time is over, and at once when it is of no use', async () => {
  const taken = await echo();
  const site = await Skiff.run({
    documents: [document('Site', 'waits', { edge: true }), connector('there', taken.port)],
  });
  const args = ['--host', '127.0.0.1', '--wait', 'ready', '--timeout', '500ms'];
  const late = await site.cli('listener', 'create', 'nobody', String(await freePort()), ...args);
  assert.is(late.code, 4);
  assert.match(late.stderr, /^Waiting for create to complete\.\.\.$/m);
  assert.match(late.stderr, /^error: Listener "nobody" is not yet ready: No matching connectors\.$/m);
  assert.not.match(late.stderr, '\u001b');
  const failed = await site.cli('listener', 'create', 'there', String(taken.port), '--host', '127.0.0.1');
  assert.is(failed.code, 1, failed.stdout + failed.stderr);
  assert.match(failed.stderr, /is not yet configured: .*port/);
  await site.stop();
});

test('a stopped site takes verbs, but not waiting', async () => {
  const data = ['--data', newDirectory()];
  const waited = await skiff(['listener', 'create', 'a', '8080', '--wait', 'ready', ...data]);
  assert.is(waited.code, 3);
  assert.match(waited.stderr, /the site is not running/);
  assert.is((await skiff(['get', 'listener', ...data])).stdout, 'There is no Listener\n', 'nothing was changed');
  assert.is((await skiff(['site', 'create', 's', ...data])).stdout, 'Site "s" is created.\n');
  assert.is((await skiff(['listener', 'create', 'a', '8080', ...data])).stdout, 'Listener "a" is created.\n');
  assert.is((await skiff(['listener', 'delete', 'a', ...data])).stdout, 'Listener "a" deleted\n');
});

test('what generate prints is what create makes', async () => {
  const data = ['--data', newDirectory()];
  const listener = ['listener', 'generate', 'erp', '8080', '--tls-credentials='];
  const { stdout } = await skiff(listener);
  assert.equal(parse(stdout), {
    apiVersion: 'skupper.io/v2alpha1',
    kind: 'Listener',
    metadata: { name: 'erp' },
    spec: { routingKey: 'erp', host: '0.0.0.0', type: 'tcp', port: 8080 },
  });
  assert.is((await skiff(['apply', '-f', '-', ...data], { input: stdout })).code, 0);
  const created = await skiff(['connector', 'create', 'erp', '8080', ...data]);
  assert.is(created.code, 0, created.stderr);
  const generated = JSON.parse((await skiff(['connector', 'generate', 'erp', '8080', '-o', 'json'])).stdout);
  const [shown] = JSON.parse((await skiff(['get', 'connector', '-o', 'json', ...data])).stdout);
  assert.equal(shown.spec, generated.spec);
});

test('what is wrong with a line or a document is said, and nothing is made', async () => {
  const wrong: [string, RegExp][] = [
    ['site create', /site name must not be empty/],
    ['listener create a', /listener name and port must be configured/],
    ['listener create a b', /listener port is not valid: "b" is no whole number/],
    ['listener create a 0', /spec\.port: must be a number from 1 to 65535/],
    ['listener create A 1', /metadata\.name: must be lower-case/],
    ['listener create a 1 --host !', /spec\.host: must be a valid IP address or host name/],
    ['listener create a 1 --type udp', /listener type is not valid: value udp not allowed/],
    ['listener create a 1 --routing-key A_b', /routing key is not valid: "A_b" is no name/],
    ['connector create a 1 --routing-key a..b', /routing key is not valid: "a\.\.b" is no name/],
    ['connector create a 1 --tls-credentials a-', /tlsCredentials value is not valid: "a-" is no name/],
    ['listener create a 1 b', /only two arguments are allowed for this command/],
    ['listener update', /listener name must be configured/],
    ['listener delete', /listener name must be specified/],
    ['site delete', /site name must be specified/],
    ['connector generate a 99999', /spec\.port/],
    ['mkl create a 1 --priority a --weighted b=1', /only one is possible of --priority and --weighted/],
    ['mkl create a 1 --weighted b', /"b" has no weight/],
  ];
  const data = newDirectory();
  for (const [line, message] of wrong) {
    const { code, stderr } = await skiff([...line.split(' '), ...(line.includes('generate') ? [] : ['--data', data])]);
    assert.is(code, 2, line);
    assert.match(stderr, message);
    assert.is(stderr.split('\n').length, 2, stderr);
  }
});

test('bash completes commands and the names of a running site', async () => {
  const site = await Skiff.run({
    documents: [document('Site', 'completes', {}), connector('erp', 1), connector('crm', 2)],
  });
  const script = `
    source <("$0" completion bash)
    COMP_WORDS=("$0" connector delete --data "$1" "")
    COMP_CWORD=5
    _skiff
    printf '%s ' "\${COMPREPLY[@]}"
    COMP_WORDS=("$0" connector st)
    COMP_CWORD=2
    _skiff
    printf '%s ' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script, executable, site.data], { encoding: 'utf8' });
  assert.is(stdout, 'crm erp status ', stderr);
  await site.stop();
});

test.run();
