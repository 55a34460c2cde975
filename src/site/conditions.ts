/**
 * The mechanics of a status as Skupper has them: conditions, their times, and what they come to in one word.
 */
import type { JsonObject } from '../store/documents.ts';

export type Reason = 'Ready' | 'Pending' | 'Error';

/** One condition as it is found to be now, before it is compared with what it was. */
export interface Finding {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: Reason;
  message: string;
}

export interface Condition extends Finding {
  observedGeneration: number;
  /** When `status` last flipped. */
  lastTransitionTime: string;
}

export interface Status {
  conditions: Condition[];
  status: Reason;
  message: string;
  /** Facts of one kind of document, such as hasMatchingConnector. */
  [detail: string]: unknown;
}

export function met(type: string, message = 'OK'): Finding {
  return { type, status: 'True', reason: 'Ready', message };
}

export function pending(type: string, message = 'Pending'): Finding {
  return { type, status: 'False', reason: 'Pending', message };
}

export function failed(type: string, message: string): Finding {
  return { type, status: 'False', reason: 'Error', message };
}

/** The first required condition that is missing or not met speaks for all; else the last one. */
export function aggregate(findings: Finding[], required: string[]): { status: Reason; message: string } {
  let outcome: { status: Reason; message: string } = { status: 'Ready', message: 'OK' };
  for (const type of required) {
    const finding = findings.find((candidate) => candidate.type === type);
    if (!finding) return { status: 'Pending', message: `Not ${type}` };
    outcome = { status: finding.reason, message: finding.message };
    if (finding.status !== 'True') return outcome;
  }
  return outcome;
}

/** `hasReady`: whether the outcome is a condition of its own, too. */
export function makeStatus(
  { findings, required, details }: { findings: Finding[]; required: string[]; details: JsonObject },
  { generation, hasReady }: { generation: number; hasReady: boolean },
  before: Status | undefined,
  now: number,
): Status {
  const outcome = aggregate(findings, required);
  const ready: Finding = {
    type: 'Ready',
    status: outcome.status === 'Ready' ? 'True' : 'False',
    reason: outcome.status,
    message: outcome.message,
  };
  const conditions = [...findings, ...(hasReady ? [ready] : [])].map((finding) => {
    const old = before?.conditions.find((condition) => condition.type === finding.type);
    const lastTransitionTime = old?.status === finding.status ? old.lastTransitionTime : timestamp(now);
    return { ...finding, observedGeneration: generation, lastTransitionTime };
  });
  return { conditions, ...outcome, ...details };
}

/** As Kubernetes writes times: to the second. */
export function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
}
