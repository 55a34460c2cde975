/** Our hub, to which recorded edge routers say what they said to a real one. */
import { test } from 'uvu';
import { compare, MESSAGES, STREAMS } from './scenarios.ts';

for (const name of STREAMS) test(`our hub answers as the real one did: ${name}`, () => compare(name, 'listener'));
for (const name of MESSAGES) test(`our hub answers as the real one did: ${name}`, () => compare(name, 'listener'));

test.run();
