/** The shapes that networks of routers have: which router dials which. */
import type { Span } from './topology.ts';

export const line = (count: number): Span[] =>
  Array.from({ length: count - 1 }, (_, index) => ({ from: index + 1, to: index }));

export const ring = (count: number): Span[] => [...line(count), { from: 0, to: count - 1 }];

/** Each router but the first dials the one that it hangs below, two below each. */
export const tree = (count: number): Span[] =>
  Array.from({ length: count - 1 }, (_, index) => ({ from: index + 1, to: Math.floor(index / 2) }));

export const full = (count: number): Span[] =>
  Array.from({ length: count }, (_, from) => Array.from({ length: from }, (_, to) => ({ from, to }))).flat();
