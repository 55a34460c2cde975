/**
 * Colour, for terminals only. NO_COLOR turns it off, FORCE_COLOR on, as Node's own rules have it.
 */
import { styleText } from 'node:util';

export type Colour = 'red' | 'yellow' | 'green' | 'bold' | 'dim';

export function paint(stream: NodeJS.WriteStream, colour: Colour, text: string): string {
  if (process.env.TERM === 'dumb') return text;
  return styleText(colour, text, { stream });
}

const statusColours: Record<string, Colour> = { Ready: 'green', Pending: 'yellow', Error: 'red' };

/** The colour of a status, if it is one. */
export function statusColour(status: string): Colour | undefined {
  return statusColours[status];
}

/** Text of others (a peer's message, say) without what a terminal would obey. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
