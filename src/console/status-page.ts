/**
 * The status page: one document with everything in it, for whatever browser there is. It is whole without JavaScript, and
 * asks for nothing from anywhere; with a little of it, it keeps up to date in place.
 */
import { createHash } from 'node:crypto';
import type { Entry, StatusFacts, Warning } from './status-facts.ts';

export interface Page {
  html: string;
  headers: Record<string, string>;
}

/** Seconds from one look to the next. */
const refresh = 5;

const style = `
:root{color-scheme:light dark;--bg:#f6f7f8;--card:#fff;--ink:#17212b;--soft:#55616e;--line:#dde2e7;--good:#0a7d46;--waiting:#9a5b00;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--bg:#12171c;--card:#1b222a;--ink:#e8edf2;--soft:#a3afbb;--line:#313b46;--good:#4cc38a;--waiting:#f0b04a;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:17px/1.5 system-ui,sans-serif}
main{max-width:46rem;margin:0 auto;padding:1rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .4rem}
h2{font-size:1.05rem;margin:0 0 .6rem}
p{margin:.3rem 0}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.2rem;margin:0 0 1rem;overflow-wrap:anywhere}
.head{border-left:.5rem solid var(--mood)}
.good{--mood:var(--good)}.waiting{--mood:var(--waiting)}.bad{--mood:var(--bad)}
.words{font-size:1.5rem;font-weight:700;letter-spacing:.02em;word-spacing:.3em;margin:0}
.soft,small{color:var(--soft)}
small{display:block;font-size:.85rem}
ul,dl{list-style:none;margin:0;padding:0}
li{padding:.45rem 0;border-top:1px solid var(--line)}
li:first-child{border-top:0;padding-top:0}
li b::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:50%;background:var(--mood,var(--soft));margin-right:.5em}
.say{color:var(--mood)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.2rem}
dt{color:var(--soft)}dd{margin:0}
@media (max-width:30rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}.words{font-size:1.25rem}}
label{display:block;margin:.8rem 0 .2rem}
input,textarea{width:100%;font:inherit;padding:.5rem;border:1px solid var(--line);border-radius:.4rem;background:var(--bg);color:inherit}
textarea{font-family:ui-monospace,monospace;font-size:.85rem}
button{font:inherit;font-weight:600;margin-top:1rem;padding:.55rem 1.2rem;border:0;border-radius:.4rem;background:var(--ink);color:var(--card)}
`;

/** Puts what is new in the place of what there was; when nobody answers it says so, and what was known stays. */
const script = `
const main=document.querySelector('main'),gone=document.querySelector('#gone');
setInterval(async()=>{try{const answer=await fetch(location.href,{cache:'no-store'});if(!answer.ok)throw 0;
const next=new DOMParser().parseFromString(await answer.text(),'text/html');
main.replaceChildren(...next.querySelector('main').childNodes);gone.hidden=true}catch{gone.hidden=false}},${refresh * 1_000});
`;

export function statusPage(facts: StatusFacts, { form = false } = {}): Page {
  const { headline, words, identity, claim, links, services, errors, warnings, now } = facts;
  const name = identity.find(([label]) => label === 'Name')?.[1] ?? 'not set up';
  const parts = [
    `<section class="head ${headline.mood}"><h1>${escaped(headline.title)}</h1><p>${escaped(headline.text)}</p></section>`,
    form ? '<section><p><a href="/claim">Set this device up by hand</a></p></section>' : '',
    words === null
      ? ''
      : section(
          'Six words',
          `<p class="words">${escaped(words)}</p><small>By these words others know this very device.</small>`,
        ),
    warnings.length > 0 ? section('Look at this', listOf(warnings.map(warningItem))) : '',
    section('Connection', links.length > 0 ? listOf(links.map(entryItem)) : none('There is no link.')),
    section('Services', services.length > 0 ? listOf(services.map(entryItem)) : none('There are no services here.')),
    claim === null ? '' : section('Joining', claimOf(claim)),
    section('This device', `<dl>${identity.map(([label, value]) => pair(label, value)).join('')}</dl>`),
    section('What went wrong last', errors.length > 0 ? listOf(errors.map(errorItem)) : none('Nothing.')),
    `<p class="soft">The clock of this device says ${timeOf(now)}. This page is renewed every ${refresh} seconds.</p>`,
  ];
  return page(`Skiff: ${name}`, parts.join('\n'), { live: true });
}

/** A page of this house; a `live` one renews itself. */
export function page(title: string, body: string, { live = false } = {}): Page {
  const head = live ? `<noscript><meta http-equiv="refresh" content="${refresh}"></noscript>` : '';
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escaped(title)}</title>${head}<style>${style}</style></head>
<body><main>
${body}
</main><p id="gone" class="soft" role="alert" hidden>This device does not answer at the moment: what is above may be old.</p>
${live ? `<script>${script}</script>` : ''}</body></html>
`;
  return { html, headers: { 'content-security-policy': policy(live), 'referrer-policy': 'no-referrer' } };
}

function policy(live: boolean): string {
  return [
    "default-src 'none'",
    `style-src '${hashOf(style)}'`,
    ...(live ? [`script-src '${hashOf(script)}'`, "connect-src 'self'"] : []),
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

function section(title: string, body: string): string {
  return `<section><h2>${escaped(title)}</h2>${body}</section>`;
}

const none = (text: string): string => `<p class="soft">${escaped(text)}</p>`;

const listOf = (items: string[]): string => `<ul>${items.join('')}</ul>`;

function entryItem({ name, mood, text, details }: Entry): string {
  const more = details.map((detail) => `<small>${escaped(detail)}</small>`).join('');
  return `<li class="${mood}"><b>${escaped(name)}</b>: <span class="say">${escaped(text)}</span>${more}</li>`;
}

function warningItem({ code, title, severity, hurtsConnection, hint }: Warning): string {
  const mood = severity === 'error' ? 'bad' : 'waiting';
  const more = [
    hint,
    hurtsConnection ? 'This may be why nothing gets through.' : 'This does not keep anything from getting through.',
    `code ${code}`,
  ];
  const lines = more.map((line) => (line ? `<small>${escaped(line)}</small>` : '')).join('');
  return `<li class="${mood}"><b>${escaped(title)}</b>${lines}</li>`;
}

function claimOf({ text, tried }: NonNullable<StatusFacts['claim']>): string {
  const places = tried.map(({ place, outcome }) => pair(place, outcome)).join('');
  return `<p>${escaped(text)}</p>${places ? `<p class="soft">Looked for a claim in:</p><dl>${places}</dl>` : ''}`;
}

function errorItem({ time, text, code }: StatusFacts['errors'][number]): string {
  return `<li>${escaped(text)}<small>${timeOf(time)}${code === null ? '' : `, code ${escaped(code)}`}</small></li>`;
}

function pair(label: string, value: string): string {
  return `<dt>${escaped(label)}</dt><dd>${escaped(value)}</dd>`;
}

function timeOf(at: number): string {
  const text = new Date(at).toISOString();
  return `<time datetime="${text}">${text.slice(0, 19).replace('T', ' ')} UTC</time>`;
}

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
