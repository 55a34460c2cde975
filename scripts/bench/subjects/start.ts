/** How long an edge takes from its start until it is of use, with its hub already there. */
import type { Case } from '../bench.ts';

export const startCases: Case[] = [
  {
    name: 'start/pair',
    layout: 'pair',
    systems: ['skupper-router', 'skiff'],
    fresh: true,
    metrics: [
      { name: 'serving', unit: 'ms', digits: 0 },
      { name: 'ready', unit: 'ms', digits: 0 },
      { name: 'link', unit: 'ms after ready', digits: 0 },
    ],
    measure: ({ deployment }) => Promise.resolve(deployment.times),
  },
];
