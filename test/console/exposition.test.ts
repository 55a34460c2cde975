/** Metrics as text, read by a reader that shares nothing with the writer. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Family, write } from '../../src/console/exposition.ts';
import { readExposition } from '../support/exposition.ts';

const test = suite('exposition');

const gauge = (...samples: Family['samples']): Family => ({ name: 'a', type: 'gauge', help: 'x', samples });

test('what is written is read as it was meant, whatever is in it', () => {
  const nasty = 'a "b" \\ c\nd, e="f"} é';
  const text = write([
    { ...gauge({ labels: { x: nasty, y: '' }, value: 1.5e-7 }, { labels: {}, value: 0 }), help: 'one\ntwo \\n' },
    { name: 'b_total', type: 'counter', help: '', samples: [{ labels: {}, value: 2 ** 60 }] },
  ]);
  const read = readExposition(text);
  assert.is(read.value('a', { x: nasty }), 1.5e-7);
  assert.is(read.all('a').length, 2);
  assert.is(read.value('b_total'), 2 ** 60);
});

test('a family with no values is not there at all', () => {
  assert.is(write([gauge()]), '');
});

test('the reader takes nothing that is not right', () => {
  const head = '# HELP a x\n# TYPE a gauge\n';
  const wrong = [
    `${head}a 1`,
    `${head}a one\n`,
    `${head}a{x=1} 1\n`,
    `${head}a{x="1" 1\n`,
    `${head}a{x="1",x="2"} 1\n`,
    `${head}a{x="\\t"} 1\n`,
    `${head}a 1\na 1\n`,
    `${head}b 1\n`,
    head,
    'a 1\n',
    '# TYPE a gauge\na 1\n',
    '# HELP a x\n# TYPE a counter\na 1\n',
    '# HELP a_total x\n# TYPE a_total counter\na_total -1\n',
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
  ];
  for (const text of wrong) assert.throws(() => readExposition(text), undefined, text);
  assert.is(readExposition(`${head}a{x="1"} 1\n`).value('a'), 1);
});

test.run();
