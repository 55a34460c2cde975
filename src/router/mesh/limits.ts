/** How much other routers may make this one remember and do. Networks come nowhere near; broken and hostile routers do. */

/** Characters of a router id, and of an address with its class letter. */
export const MAX_ID = 512;
export const MAX_KEY = 2_048;
/** Neighbours of one router. */
export const MAX_PEERS = 10_000;
/** A higher cost counts as this, so that sums stay exact. */
export const MAX_COST = 1_000_000;
/** Routers remembered, whether reachable or not. */
export const MAX_ROUTERS = 10_000;
/** Neighbours of all routers together. */
export const MAX_LINES = 500_000;
/** Addresses remembered of one router, and of all together. */
export const MAX_ADDRESSES_EACH = 100_000;
export const MAX_ADDRESSES = 250_000;
