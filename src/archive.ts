/**
 * The files that the executable carries at its end, behind Node: their octets one after another, an index as JSON, and eight
 * octets that end it all, the index's length and a mark.
 *
 * They are read as any file is. Node's own way (assets of `node:sea`) maps them into memory, where every page that was ever
 * looked at counts as the process's: 4 MB that a site needs once, when it starts.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { SkiffError } from './errors.ts';

/** Linux's name for the file this process runs, also when another has taken its place since. */
const SELF = '/proc/self/exe';
const MARK = 'SKIF';
const END_OCTETS = 8;

/** Of each file: how far before the index it starts, and how many octets it has. */
type Index = Record<string, { before: number; octets: number }>;

/** What is to be put behind an executable, for `carried` to read. */
export function archiveOf(files: Record<string, Uint8Array>): Buffer {
  const index: Index = {};
  let before = 0;
  for (const [name, { length }] of Object.entries(files).reverse()) {
    before += length;
    index[name] = { before, octets: length };
  }
  const text = Buffer.from(JSON.stringify(index));
  const end = Buffer.alloc(END_OCTETS, MARK, 'latin1');
  end.writeUInt32LE(text.length);
  return Buffer.concat([...Object.values(files), text, end]);
}

/** The octets of a file that the executable carries. */
export function carried(name: string): Buffer {
  const file = openSync(existsSync(SELF) ? SELF : process.execPath, 'r');
  try {
    const end = fstatSync(file).size - END_OCTETS;
    const last = read(file, end, END_OCTETS);
    if (last.toString('latin1', 4) !== MARK) throw damaged();
    const index = end - last.readUInt32LE();
    const { before, octets } = (JSON.parse(read(file, index, end - index).toString()) as Index)[name]!;
    return read(file, index - before, octets);
  } finally {
    closeSync(file);
  }
}

function read(file: number, start: number, octets: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(octets);
  for (let filled = 0; filled < octets; ) {
    const count = readSync(file, buffer, filled, octets - filled, start + filled);
    if (count === 0) throw damaged();
    filled += count;
  }
  return buffer;
}

function damaged(): SkiffError {
  return new SkiffError('executable-damaged', `the executable is not whole (${process.execPath})`, {
    hint: 'Copy it again from where it came from.',
  });
}
