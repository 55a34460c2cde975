/** Claims: what becomes of each, and whom it lets ask. */
import type { Resource } from '../site/resources.ts';
import type { Store } from '../store/store.ts';

export type Claim = Resource<'EnrolmentClaim'>;
export type ClaimState = 'Active' | 'Spent' | 'Expired' | 'Revoked';

export interface ClaimFacts {
  state: ClaimState;
  /** How many devices it let in. */
  used: number;
  /** How many wait for a decision. */
  pending: number;
}

export function claimFacts({ spec }: Claim, store: Store, now: number): ClaimFacts {
  const { enrolled, revoked, pending } = store.devices.countOf(spec.publicKey);
  const used = enrolled + revoked;
  const { uses = 1, expires } = spec;
  const spent = uses > 0 && used >= uses;
  const expired = expires !== undefined && now >= Date.parse(expires);
  const state = spec.revoked ? 'Revoked' : expired ? 'Expired' : spent ? 'Spent' : 'Active';
  return { state, used, pending };
}
