/**
 * The form by which somebody in the room gives a blank device its claim, with a browser. It is there only when it was
 * asked for, only while the device is nobody yet, and only for who can read the number on its console.
 */
import { randomInt } from 'node:crypto';
import { Guesses } from '../enrol/guesses.ts';
import { errorFact } from '../errors.ts';
import { log } from '../log.ts';
import { type Answer, htmlType } from './server.ts';
import { escaped, page } from './status-page.ts';

/** Wrong numbers after which there is another one. */
const mostWrong = 30;
const digits = 8;

export interface ClaimFormOptions {
  /** Whether the device takes a claim by now. */
  isOpen(): boolean;
  /** Throws what is wrong with it. */
  take(claim: string): void;
  now(): number;
}

export class ClaimForm {
  readonly #options: ClaimFormOptions;
  readonly #guesses: Guesses;
  #pin = '';
  #wrong = 0;

  constructor(options: ClaimFormOptions) {
    this.#options = options;
    this.#guesses = new Guesses(options.now);
    this.#newPin();
  }

  get isOpen(): boolean {
    return this.#options.isOpen();
  }

  show(): Answer {
    return this.isOpen ? answer(200, formOf('', '')) : closed();
  }

  submit(body: string): Answer {
    if (!this.isOpen) return closed();
    const fields = new URLSearchParams(body);
    const claim = fields.get('claim') ?? '';
    const wait = this.#guesses.wait(theOne);
    if (wait > 0) {
      const seconds = Math.ceil(wait / 1_000);
      const text = `There were too many wrong numbers. Try again in ${seconds} seconds.`;
      return answer(429, formOf(text, claim), { 'retry-after': String(seconds) });
    }
    if (!this.#guesses.check(theOne, this.#pin, (fields.get('pin') ?? '').replace(/\D/g, ''))) {
      log.warn('enrol', 'a wrong number was given in the form for a claim', { code: 'wrong-pin' });
      if (++this.#wrong >= mostWrong) this.#newPin();
      return answer(403, formOf('That is not the number on the console of this device.', claim));
    }
    try {
      this.#options.take(claim);
    } catch (error) {
      const { message, code } = errorFact(error);
      return answer(422, formOf(`This claim cannot be used: ${message} [${code}]`, claim));
    }
    log.info('enrol', 'a claim was given in the form');
    return answer(303, '<p>The claim was taken.</p>', { location: '/' });
  }

  /** Shown where only those can read it who stand before the device, or may look after it. */
  #newPin(): void {
    this.#wrong = 0;
    this.#pin = String(randomInt(10 ** digits)).padStart(digits, '0');
    if (!this.isOpen) return;
    log.info('enrol', `to give this device a claim in a browser, open /claim there; the number is ${shown(this.#pin)}`);
  }
}

/** There is one secret here. */
const theOne = 'pin';

const shown = (pin: string): string => pin.replace(/(\d{4})(?=\d)/g, '$1 ');

function closed(): Answer {
  return answer(404, '<section><h1>There is nothing to set up here</h1><p>This device takes no claim.</p></section>');
}

function formOf(trouble: string, claim: string): string {
  const alert = trouble === '' ? '' : `<p role="alert"><b>${escaped(trouble)}</b></p>`;
  return `<section><h1>Set this device up</h1>${alert}
<form method="post" action="/claim">
<label for="pin">The number on the console of this device</label>
<input id="pin" name="pin" inputmode="numeric" autocomplete="off" maxlength="20" required>
<label for="claim">The claim: all the text of the file that came with the device</label>
<textarea id="claim" name="claim" rows="12" spellcheck="false" required>${escaped(claim)}</textarea>
<button>Set it up</button></form></section>`;
}

function answer(status: number, body: string, headers: Record<string, string> = {}): Answer {
  const { html, headers: always } = page('Skiff: set this device up', body);
  return { status, type: htmlType, body: html, headers: { ...always, ...headers } };
}
