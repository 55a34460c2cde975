/** The page of a device as a document: what it says, and what it lets nobody do. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { StatusFacts } from '../../src/console/status-facts.ts';
import { statusPage } from '../../src/console/status-page.ts';

const test = suite('status page');

const facts: StatusFacts = {
  headline: { mood: 'bad', title: 'This device was refused', text: 'Call' },
  words: 'acid acorn actor adult agent alarm',
  identity: [['Name', 'store1']],
  claim: { text: 'No claim was found.', tried: [{ place: 'USB stick', outcome: 'nothing there' }] },
  links: [{ name: 'hub', mood: 'bad', text: 'refused', details: ['[certificate-revoked]'] }],
  services: [],
  errors: [{ time: 0, text: 'a<b', code: 'x' }],
  warnings: [{ code: 'clock', title: 'The clock is wrong', severity: 'error', hurtsConnection: true, hint: null }],
  now: 0,
};

test('all of it is in one document, which loads nothing and lets nothing else run', () => {
  const { html, headers } = statusPage(facts);
  for (const text of ['refused', 'acid acorn', 'USB stick', 'certificate-revoked', 'The clock is wrong', 'store1'])
    assert.ok(html.includes(text), text);
  assert.not.match(html, /(?:src|href)=|url\(|https?:/);
  const policy = headers['content-security-policy'] as string;
  assert.match(policy, /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self';/);
  assert.not.match(policy, /unsafe/);
});

test('nothing that others named becomes part of the page', () => {
  const evil = `"><script>alert('1')</script>&`;
  const entry = { name: evil, mood: 'good', text: evil, details: [evil] } as const;
  const { html } = statusPage({
    ...facts,
    headline: { mood: 'good', title: evil, text: evil },
    words: evil,
    identity: [['Name', evil]],
    claim: { text: evil, tried: [{ place: evil, outcome: evil }] },
    links: [{ ...entry, details: [evil] }],
    services: [{ ...entry, details: [evil] }],
    errors: [{ time: 0, text: evil, code: evil }],
    warnings: [{ code: evil, title: evil, severity: 'warning', hurtsConnection: false, hint: evil }],
  });
  assert.is(html.match(/<script>/g)?.length, 1, 'its own');
  assert.not.ok(html.includes('<script>alert'));
});

test.run();
