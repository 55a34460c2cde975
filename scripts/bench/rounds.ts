/** Runs cases: each round measures one after another on every system. */
import type { Case, Sample, Setting } from './bench.ts';
import type { Load } from './load/load.ts';
import { type Patience, QUIET } from './patience.ts';
import type { CaseResult } from './statistics.ts';
import type { Deployment, LayoutName, System, SystemName, World } from './systems/system.ts';

interface RoundsOptions {
  systems: System[];
  world: World;
  load: Load;
  patience: Patience;
  rounds: number;
  /** How long each load lasts. */
  seconds: number;
  /** How long `memory/churn` takes, in seconds. */
  churn: number;
  /** Warm up at length. */
  thorough: boolean;
}

/** What a round found on each system: a sample, or what went wrong. */
type Round = Map<SystemName, Sample | Error>;

export class Rounds {
  readonly #options: RoundsOptions;
  /** Deployments that are kept from case to case, by system and layout. */
  readonly #kept = new Map<string, Deployment>();
  /** Deployments that have been warmed up for a case. */
  readonly #warm = new Map<string, Deployment>();

  constructor(options: RoundsOptions) {
    this.#options = options;
  }

  async run(definition: Case): Promise<CaseResult> {
    const { systems, patience } = this.#options;
    const rounds = definition.once ? 1 : this.#options.rounds;
    const taking = systems.filter(({ name }) => !definition.systems || definition.systems.includes(name));
    const result: CaseResult = { name: definition.name, samples: {}, failures: [] };
    for (const { name } of taking) result.samples[name] = [];
    for (let round = 0; round < rounds; ) {
      const began = performance.now();
      // Every other round goes backwards, so that none always comes after the same one.
      const found = await this.#round(definition, round % 2 === 0 ? taking : taking.toReversed());
      if (isDisturbed(found) && patience.again(performance.now() - began)) continue;
      for (const [system, sample] of found) {
        const failed = sample instanceof Error;
        result.samples[system]!.push(failed ? null : sample);
        if (failed) result.failures.push({ system, round, message: sample.message });
      }
      round++;
    }
    return result;
  }

  async #round(definition: Case, systems: System[]): Promise<Round> {
    const found: Round = new Map();
    for (const system of systems) {
      await this.#options.patience.untilQuiet();
      try {
        const sample = await this.#measure(definition, system);
        // Streams that hang are no slow ones.
        found.set(system.name, sample.rate === 0 ? new Error('nothing was carried') : sample);
      } catch (error) {
        found.set(system.name, error instanceof Error ? error : new Error(String(error)));
      }
      // What it left behind would be measured with all that follows.
      if (found.get(system.name) instanceof Error) await this.#discard(`${system.name} ${definition.layout}`);
    }
    return found;
  }

  async #measure(definition: Case, system: System): Promise<Sample> {
    const { world, load, churn } = this.#options;
    const seconds = Math.max(this.#options.seconds, definition.atLeastSeconds ?? 0);
    if (!definition.fresh) {
      const deployment = await this.#deployment(system, definition.layout);
      const setting = { deployment, load, churn, world };
      await this.#warmUp(definition, system, setting);
      return definition.measure({ ...setting, seconds });
    }
    const deployment = await system.start(definition.layout, world);
    try {
      return await definition.measure({ deployment, load, seconds, churn, world });
    } finally {
      await deployment.stop();
    }
  }

  /** The case itself, whose result counts for nothing. */
  async #warmUp({ name, warmUp, measure }: Case, system: System, setting: Omit<Setting, 'seconds'>): Promise<void> {
    const key = `${system.name} ${name}`;
    const needless = system.name === 'direct' || this.#warm.get(key) === setting.deployment;
    if (warmUp === undefined || !this.#options.thorough || needless) return;
    await measure({ ...setting, seconds: warmUp });
    this.#warm.set(key, setting.deployment);
  }

  async #discard(key: string): Promise<void> {
    const deployment = this.#kept.get(key);
    this.#kept.delete(key);
    await deployment?.stop();
  }

  async #deployment(system: System, layout: LayoutName): Promise<Deployment> {
    const { world, load, thorough } = this.#options;
    const key = `${system.name} ${layout}`;
    const known = this.#kept.get(key);
    if (known?.processes.every(({ process }) => process.alive)) return known;
    await this.#discard(key);
    const deployment = await system.start(layout, world);
    this.#kept.set(key, deployment);
    if (system.name === 'direct') return deployment;
    // What is compiled as it runs is compiled before anything is measured.
    const { http, bulk } = deployment.ports;
    await load.http(http, 8, thorough ? 2 : 0.4);
    await load.connects(http, 8, thorough ? 2 : 0.4);
    if (thorough) await load.bulk(bulk, 'both', 1, 2);
    return deployment;
  }
}

function isDisturbed(round: Round): boolean {
  return [...round.values()].some((sample) => !(sample instanceof Error) && (sample.others ?? 0) > QUIET);
}
