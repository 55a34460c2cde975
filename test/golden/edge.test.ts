/** Our edge, to which recorded hubs say what they said to a real one. */
import { test } from 'uvu';
import { compare, MESSAGES, STREAMS } from './scenarios.ts';

for (const name of STREAMS) test(`our edge speaks as the real one did: ${name}`, () => compare(name, 'connector'));
for (const name of MESSAGES) test(`our edge speaks as the real one did: ${name}`, () => compare(name, 'connector'));

test.run();
