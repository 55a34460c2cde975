/**
 * What a device and its controller say to each other over AMQP, as JSON. A device sends to `skiff.fleet`, the controller
 * to `skiff.device.<router id>`; the subject says what it is.
 */
import type { ErrorFact } from '../errors.ts';
import { isObject } from '../site/schema.ts';
import type { Json, JsonObject } from '../store/documents.ts';

export const CONTROLLER = 'skiff.fleet';
export const deviceAddress = (routerId: string): string => `skiff.device.${routerId}`;

/** From one heartbeat of a device to the next, in milliseconds, unless the controller sets another pace. */
export const usualPace = 30_000;

/** `heartbeat`, every 30 s and when something has happened. What is signed is all of it but `signature`. */
export interface Report {
  device: string;
  /** The public half of the key that signs it: SPKI in base64. */
  key: string;
  /** One for each start of the process; `seq` counts within it. */
  boot: string;
  seq: number;
  version: string;
  /** The generation that it has; 0: none. */
  applied: number;
  trying: number | null;
  bad: { generation: number; reason: string }[];
  failure: { generation: number; error: ErrorFact } | null;
  /** The digest of `parts`, which come along when the controller does not know them yet. */
  hash: string;
  parts?: Record<string, string>;
  /** Milliseconds. */
  uptime: number;
  problems: { kind: string; name: string; message: string }[];
  refused: string[];
  orders: { id: string; result: string }[];
}

/** `ack`: a heartbeat was heard. */
export interface Acknowledgement {
  /** The generation that it said it has. */
  generation: number;
  /** The digest of the parts that are known of it. */
  hash: string | null;
  /** For how long the controller has been there, in milliseconds. */
  uptime: number;
  /** From one heartbeat to the next, in milliseconds. */
  pace: number;
}

/** `desired`: what the device is to be, whole. */
export interface DesiredMessage {
  generation: number;
  documents: JsonObject[];
  signature: string;
}

/** `order`: something to be done once. */
export interface OrderMessage {
  id: string;
  verb: string;
  expires: number;
  signature: string;
}

const mostTexts = 2_000;
const longestText = 1_000;
/** Of generations and times: what is more is none, and must not be counted on from. */
const highestCount = 2 ** 48;

/** A report, as far as it can be one; null when it cannot. A device may be anybody's: nothing in it is believed. */
export function readReport(body: string): { report: Report; signature: string; signed: object } | null {
  const value = parsed(body);
  if (!isObject(value)) return null;
  const { signature, ...rest } = value;
  const { device, key, boot, seq, version, applied, trying, hash, uptime, parts, failure } = rest;
  const texts = [signature, device, key, boot, version, hash].every(isText);
  const counts = [seq, applied, uptime].every(isCount) && (trying === null || isCount(trying));
  if (!texts || !counts) return null;
  const report = {
    ...{ device, key, boot, seq, version, applied, trying, hash, uptime },
    ...(isObject(parts) ? { parts: Object.fromEntries(Object.entries(parts).filter(isPart).slice(0, mostTexts)) } : {}),
    bad: listOf(rest.bad, (each) => isCount(each.generation) && isText(each.reason)),
    failure: isObject(failure) && isCount(failure.generation) && isFact(failure.error) ? failure : null,
    problems: listOf(rest.problems, (each) => [each.kind, each.name, each.message].every(isText)),
    refused: Array.isArray(rest.refused) ? rest.refused.filter(isText).slice(0, mostTexts) : [],
    orders: listOf(rest.orders, (each) => isText(each.id) && isText(each.result)),
  };
  return { report: report as unknown as Report, signature: signature as string, signed: rest };
}

function parsed(body: string): Json {
  try {
    return JSON.parse(body) as Json;
  } catch {
    return null;
  }
}

function listOf(value: Json | undefined, good: (each: JsonObject) => boolean): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject).filter(good).slice(0, mostTexts) : [];
}

function isText(value: Json | undefined): value is string {
  return typeof value === 'string' && value.length <= longestText;
}

function isCount(value: Json | undefined): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < highestCount;
}

function isPart([name, part]: [string, Json]): boolean {
  return isText(name) && isText(part);
}

function isFact(value: Json | undefined): boolean {
  return isObject(value) && isText(value.code) && typeof value.message === 'string';
}
