/**
 * Logging: one line a record on stderr, JSON or for people. Payload never reaches it.
 * Records made in the router thread are written by the main thread, so lines never interleave.
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogRecord {
  /** Milliseconds since the epoch. */
  time: number;
  level: LogLevel;
  /** The part of the program that speaks, such as `link` or `store`. */
  part: string;
  message: string;
  /** Facts a program may want to read: names, codes, ids. */
  fields?: Record<string, string | number | boolean | null | undefined>;
}

export type LogSink = (record: LogRecord) => void;

let sink: LogSink = () => {};

export function setLogSink(next: LogSink): void {
  sink = next;
}

/** Hands on a record that another thread made. */
export function forward(record: LogRecord): void {
  sink(record);
}

function write(level: LogLevel, part: string, message: string, fields?: LogRecord['fields']): void {
  sink({ time: Date.now(), level, part, message, ...(fields ? { fields } : {}) });
}

export const log = {
  debug: (part: string, message: string, fields?: LogRecord['fields']) => write('debug', part, message, fields),
  info: (part: string, message: string, fields?: LogRecord['fields']) => write('info', part, message, fields),
  warn: (part: string, message: string, fields?: LogRecord['fields']) => write('warn', part, message, fields),
  error: (part: string, message: string, fields?: LogRecord['fields']) => write('error', part, message, fields),
};

/** Renders records on stderr; `debug` only when asked for. */
export function stderrSink(format: 'json' | 'pretty', debug = false): LogSink {
  return (record) => {
    if (record.level === 'debug' && !debug) return;
    const time = new Date(record.time).toISOString();
    if (format === 'json') {
      const { level, part, message, fields } = record;
      process.stderr.write(`${JSON.stringify({ time, level, part, message, ...fields })}\n`);
      return;
    }
    const facts = Object.entries(record.fields ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ` ${key}=${typeof value === 'string' && /\s/.test(value) ? JSON.stringify(value) : value}`)
      .join('');
    process.stderr.write(`${time} ${record.level.padEnd(5)} ${record.part}: ${record.message}${facts}\n`);
  };
}
