/** What the command line asks for. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const USAGE = `usage: npm run bench -- [OPTION]…

  --quick         the most telling cases, in less than a minute
  --only NAME     a subject or a case, such as http or http/64; may be given again
  --system NAME   direct, tls-proxy or skupper-router, beside skiff; may be given again (without it: all)
  --rounds N      how often each case is measured on each system
  --seconds N     how long each load lasts
  --patience N    wait up to N seconds in all for a quiet machine, and measure disturbed rounds again
  --json FILE     write all numbers there
  --check         end with code 1 when a target is missed, with 2 when that cannot be told
  --pin CPUS      keep what is measured on these CPUs, such as 0 or 0,1, and the load off them
  --churn N       how many seconds memory/churn makes and ends connections (without it: 300)
  --own-load      do without iperf3 and wrk
  --profile DIR   run Skiff from source and write CPU profiles there
  --list          name the cases
  --help          show this

SKROUTERD names the program of skupper-router, which the targets are held against.`;

export interface Options {
  quick: boolean;
  only: string[] | undefined;
  system: string[] | undefined;
  rounds: number;
  seconds: number;
  patience: number;
  json: string | undefined;
  check: boolean;
  pin: string | undefined;
  churn: number;
  ownLoad: boolean;
  profile: string | undefined;
  list: boolean;
  help: boolean;
}

export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      system: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      patience: { type: 'string' },
      json: { type: 'string' },
      check: { type: 'boolean', default: false },
      pin: { type: 'string' },
      churn: { type: 'string' },
      'own-load': { type: 'boolean', default: false },
      profile: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const { quick, only, system, json, check, list, help } = values;
  return {
    ...{ quick, only, system, json, check, list, help },
    rounds: Math.ceil(number('rounds', values.rounds, quick ? 2 : 5)),
    seconds: number('seconds', values.seconds, quick ? 0.5 : 2),
    patience: number('patience', values.patience, 0),
    pin: values.pin,
    churn: number('churn', values.churn, 300),
    ownLoad: values['own-load'],
    // The processes run elsewhere.
    profile: values.profile === undefined ? undefined : resolve(values.profile),
  };
}

function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} takes a number above 0`);
  return value;
}
