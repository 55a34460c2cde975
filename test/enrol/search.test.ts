/** Where a claim is looked for, in which order, and what is said of each place. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { searchClaim } from '../../src/enrol/search.ts';

const test = suite('search for a claim');

function machine(...files: string[]) {
  const root = mkdtempSync(join(tmpdir(), 'root-'));
  const put = (file: string, text = file) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  for (const file of files) put(file);
  const places = { file: join(root, 'given.yaml'), data: join(root, 'data'), root };
  return { put, search: () => searchClaim(places, read) };
}

function read(text: string): string {
  if (text.includes('bad')) throw new Error('it is no claim');
  return text;
}

test('the first place that has a claim counts', () => {
  const files = [
    'given.yaml',
    'data/claim.yaml',
    'boot/skiff/claim.yaml',
    'boot/firmware/skiff/claim.yaml',
    'media/stick/skiff/claim.yaml',
    'run/media/anna/stick/skiff/claim.yaml',
    'mnt/skiff/claim.yaml',
  ];
  for (let first = 0; first < files.length; first++) {
    assert.is(machine(...files.slice(first)).search().found, files[first]);
  }
  assert.is(machine(...files).search().tried.length, 1);
});

test('it is said what is where', () => {
  const { put, search } = machine('elsewhere/claim.yaml', 'media/stick/claim.yaml');
  const nothing = ['--claim', 'data directory', 'boot partition', 'USB stick'];
  assert.equal(
    search().tried,
    nothing.map((place) => ({ place, outcome: 'nothing there' })),
  );
  put('boot/skiff/claim.yaml', 'bad');
  put('media/stick/skiff/claim.yaml');
  const { found, tried } = search();
  assert.is(found, 'media/stick/skiff/claim.yaml');
  assert.match(tried[2].outcome, /boot\/skiff\/claim\.yaml: it is no claim$/);
  assert.match(tried[3].outcome, /^found \(.*stick/);
});

test.run();
