/** Durations as Go writes them, such as `15m0s`, `1h30m`, `500ms`. */

const unitMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * unitMs[unit], 0);
}

/** A longer time, which may be in days, such as `30d` or `400d12h`; undefined when it is none. */
export function parseSpan(text: string): number | undefined {
  const [, days, rest] = /^(?:(\d{1,5})d)?(.*)$/.exec(text) ?? [];
  if (days === undefined) return parseDuration(text);
  const more = rest === '' ? 0 : parseDuration(rest);
  return more === undefined ? undefined : Number(days) * 24 * 3_600_000 + more;
}

export function formatDuration(ms: number): string {
  const [hours, minutes, seconds] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, (ms / 1_000) % 60];
  return `${hours ? `${hours}h` : ''}${hours || minutes ? `${minutes}m` : ''}${seconds}s`;
}
