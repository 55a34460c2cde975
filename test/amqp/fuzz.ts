/** Octets that were good once, for property tests. */
import fc from 'fast-check';
import { AmqpError } from '../../src/amqp/error.ts';

/** Whether this is how octets are refused that mean nothing; anything else that is thrown is a bug. */
export function isRefusal(error: unknown): boolean {
  return error instanceof AmqpError;
}

/** Octets that mean much wherever they stand: constructors, lengths, limits. */
const TELLING = [
  0x00, 0x01, 0x40, 0x41, 0x43, 0x44, 0x45, 0x52, 0x53, 0x70, 0x7f, 0x80, 0xa0, 0xb0, 0xc0, 0xc1, 0xd0, 0xd1, 0xe0,
  0xf0, 0xfe, 0xff,
];

interface Change {
  kind: 'set' | 'flip' | 'insert' | 'remove' | 'cut' | 'repeat';
  /** Where, as a share of the length. */
  place: number;
  octet: number;
  count: number;
}

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom('set', 'set', 'flip', 'insert', 'remove', 'cut', 'repeat'),
  place: fc.double({ min: 0, max: 1, noNaN: true }),
  octet: fc.oneof(fc.constantFrom(...TELLING), fc.nat(255)),
  count: fc.integer({ min: 1, max: 8 }),
});

function apply(octets: Buffer, { kind, place, octet, count }: Change): Buffer {
  const at = Math.min(Math.floor(place * octets.length), Math.max(octets.length - 1, 0));
  const head = octets.subarray(0, at);
  switch (kind) {
    case 'set':
    case 'flip': {
      const changed = Buffer.from(octets);
      if (at < changed.length) changed[at] = kind === 'set' ? octet : (changed[at] as number) ^ (1 << (count - 1));
      return changed;
    }
    case 'insert':
      return Buffer.concat([head, Buffer.alloc(count, octet), octets.subarray(at)]);
    case 'remove':
      return Buffer.concat([head, octets.subarray(at + count)]);
    case 'cut':
      return Buffer.from(head);
    case 'repeat':
      return Buffer.concat([octets, octets.subarray(at, at + count * 4)]);
  }
}

/** Good octets with up to four changes. */
export function mutated(good: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(good, fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([octets, changes]) => changes.reduce(apply, octets));
}
