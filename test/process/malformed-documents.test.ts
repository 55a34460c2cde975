/** A thousand documents that are wrong, to a site that works: each is refused in so many words, and nothing else happens. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DocumentsError } from '../../src/site/problems.ts';
import { malformed } from '../site/malformed.ts';
import { connector, document, listener } from '../support/network.ts';
import { Skiff, skiff } from '../support/skiff.ts';
import { SteadyStream } from '../support/steady.ts';
import { closeSockets, echo, freePort, untilAccepting } from '../support/tcp.ts';

const CASES = 1_000;
/** Each of the command line is a process of its own. */
const THROUGH_COMMAND_LINE_EVERY = 40;
const most = 101;
const codes = [
  'malformed-document',
  'invalid-document',
  'unknown-kind',
  'unknown-version',
  'not-supported',
  'more-problems',
];
const place = / \((standard input|document), document \d+(, line \d+)?\)$/;

const test = suite('malformed documents');

let site: Skiff;
let steady: SteadyStream;
let before: string;

test.before(async () => {
  const port = await freePort();
  site = await Skiff.run({
    documents: [document('Site', 'steady', {}), connector('steady', (await echo()).port), listener('steady', port)],
  });
  await untilAccepting(port);
  steady = await SteadyStream.begin(port);
  before = await documents();
});

test.after(async () => {
  await steady.end();
  await closeSockets();
  await Skiff.stopAll();
});

async function documents(): Promise<string> {
  return JSON.stringify(await site.api.export({ showSecrets: true }));
}

/** What is refused is refused with all that comes with it. */
const innocent = JSON.stringify(listener('innocent', 1));

async function refusal(text: string): Promise<unknown> {
  const sources = [
    { name: 'document', text },
    { name: 'innocent', text: innocent },
  ];
  return site.api.apply(sources).then(
    () => 'it was taken',
    (error) => error,
  );
}

test('each is refused with what and where, and nothing of it stays', async () => {
  // What the first leave behind as garbage is as much as there ever is.
  let memory = 0;
  let count = 0;
  const refused = fc.asyncProperty(malformed, async (text) => {
    const error = await refusal(text);
    assert.instance(error, DocumentsError, `${String(error)}: ${text.slice(0, 500)}`);
    const { problems, hint } = error as DocumentsError;
    assert.ok(hint);
    for (const { code, message } of problems) {
      assert.ok(codes.includes(code), `${code}: ${message}`);
      if (code !== 'more-problems') assert.match(message, place, message);
      assert.ok(message.length < 1_000, `${message.length} characters: ${message.slice(0, 200)}`);
    }
    assert.ok(problems.length <= most, `${problems.length} problems`);
    if (++count % THROUGH_COMMAND_LINE_EVERY === 0) await refusedByCommandLine(text);
    if (count === CASES / 2) memory = site.memory();
    if (count % THROUGH_COMMAND_LINE_EVERY === 1) assert.is(await documents(), before);
  });
  await fc.assert(refused, { numRuns: CASES, seed: 4 });
  assert.is(await documents(), before);
  const grown = (site.memory() - memory) / 1024 / 1024;
  assert.ok(grown < 200, `the site has grown by ${grown} MiB`);
  await steady.check();
  assert.equal(site.errors, []);
  assert.equal(
    site.log.filter(({ level }) => level === 'error').map(({ message }) => message),
    [],
  );
});

async function refusedByCommandLine(text: string): Promise<void> {
  const { code, stdout, stderr } = await skiff(['apply', '-f', '-', '--data', site.data], { input: text });
  assert.is(code, 2, stderr);
  assert.is(stdout, '');
  for (const line of stderr.trimEnd().split('\n')) {
    assert.match(
      line,
      /^error: .*( \(standard input, document \d+(, line \d+)?\)|more problems)\. \S.*\.$/,
      line.slice(0, 500),
    );
  }
}

test.run();
