/** What somebody who looks after the network should see, told once a cause. */

export interface MeshProblem {
  code:
    | 'duplicate-router-id'
    | 'incompatible-version'
    | 'malformed-routing-message'
    | 'neighbour-changes-id'
    | 'neighbour-floods'
    | 'forged-link-state'
    | 'too-many-routers'
    | 'too-many-addresses';
  message: string;
  /** The router that it is about, when one is known. */
  router: string | null;
}

/** Causes remembered. Who invents more of them does not get a line for each. */
const MAX_CAUSES = 1_000;

export class Problems {
  readonly #tell: (problem: MeshProblem) => void;
  readonly #told = new Set<string>();

  constructor(tell: (problem: MeshProblem) => void) {
    this.#tell = tell;
  }

  report(code: MeshProblem['code'], router: string | null, message: string): void {
    const cause = `${code} ${router}`;
    if (this.#told.has(cause) || this.#told.size >= MAX_CAUSES) return;
    this.#told.add(cause);
    this.#tell({ code, router, message });
  }
}
