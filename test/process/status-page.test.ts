/** The status page in a real browser, from the blank device to one that has lost its hub. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { available, Browser, type Tab } from '../support/chromium.ts';
import { fleetDocument, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { connector, listener } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, echo, freePort } from '../support/tcp.ts';

const test = suite('status page');
const browsers: Browser[] = [];
/** Where what was seen is kept, for whoever wants to look. */
const pictures = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'pictures-'));

test.after.each(async () => {
  for (const browser of browsers.splice(0)) await browser.close();
  await closeSockets();
  await Skiff.stopAll();
});

async function newBrowser(): Promise<Browser> {
  const browser = await Browser.open();
  browsers.push(browser);
  return browser;
}

const urlOf = async (site: Skiff): Promise<string> => (await site.api.status()).http?.url ?? '';
const shows = (tab: Tab, text: RegExp): Promise<unknown> =>
  eventually(`the page shows ${text}`, async () => text.test(await tab.text()), { explain: () => tab.text() });
const http = ['--http', '127.0.0.1:0'];

test('a blank device says so, is given its claim by the form, and tells how it goes on, in place', async () => {
  const server = await echo();
  const documents = [listener('erp', await freePort()), connector('printer', 9), listener('till', await freePort())];
  const group = fleetDocument('DeviceGroup', 'stores', { nameTemplate: 'store-{serial}', documents });
  const hub = await newHub({ documents: [group, connector('erp', server.port)] });
  const claim = await newClaim(hub, 'spring', '--approve', 'manual');
  const device = await newDevice(null, 'A1', { args: [...http, '--claim-form'] });
  const browser = await newBrowser();
  const tab = await browser.visit(await urlOf(device), { width: 420 });
  await shows(tab, /This device has not been set up/);
  await shows(tab, /USB stick\s+nothing there/);
  await tab.screenshot(join(pictures, 'blank.png'));

  // The number is on the console, and a wrong one does not do.
  const { message } = await device.untilLogged('the number is');
  const pin = /(\d{4} \d{4})$/.exec(message)?.[1] ?? '';
  const form = await browser.visit(`${await urlOf(device)}/claim`, { width: 420 });
  const submit = (number: string, text: string): Promise<void> =>
    form.evaluate(`document.querySelector('#pin').value = ${JSON.stringify(number)};
      document.querySelector('#claim').value = ${JSON.stringify(text)}; document.querySelector('button').click();`);
  await submit('0000 0000', JSON.stringify(claim.document));
  await shows(form, /not the number on the console/);
  await form.screenshot(join(pictures, 'form.png'));
  await submit(pin, 'no claim');
  await shows(form, /This claim cannot be used/);
  await submit(pin, JSON.stringify(claim.document));
  await shows(form, /waits for approval/);

  // The page that was open all the time knows, too.
  await shows(tab, /This device waits for approval/);
  const { words } = await device.api.device();
  await shows(tab, new RegExp(words as string));
  await tab.screenshot(join(pictures, 'pending.png'));
  assert.is((await hub.cli('fleet', 'approve', words as string)).code, 0);
  await shows(tab, /This site is connected/);
  await shows(tab, /erp: ready to be used/);
  await shows(tab, /till: closed, because nobody offers it/);
  await shows(tab, /store-a1/);
  await tab.screenshot(join(pictures, 'connected.png'));
  assert.match(await (await fetch(`${await urlOf(device)}/claim`)).text(), /nothing to set up here/);

  await hub.stop('SIGKILL');
  await shows(tab, /This site has no connection/);
  await shows(tab, /connection-lost|connection-refused/);
  await tab.screenshot(join(pictures, 'no-connection.png'));
  assert.equal(tab.complaints, []);

  await device.stop();
  await shows(tab, /This device does not answer at the moment/);
});

test('it works without JavaScript, with no uplink from the start, and renews itself', async () => {
  const hub = await newHub({ documents: [fleetDocument('DeviceGroup', 'stores', {})] });
  const device = await newDevice(await newClaim(hub, 'spring'), 'B1');
  await untilEnrolled(device);
  await hub.stop('SIGKILL');
  await device.stop();
  const back = await Skiff.run({ data: device.data, args: http });
  const tab = await (await newBrowser()).visit(await urlOf(back), { javaScript: false });
  await shows(tab, /This site has no connection/);
  await shows(tab, /trying to reach/);
  await back.stop('SIGKILL');
  const again = await Skiff.run({ data: hub.data });
  const port = new URL(await tab.evaluate<string>('location.href')).port;
  const up = await Skiff.run({ data: device.data, args: ['--http', `127.0.0.1:${port}`] });
  await up.until('Link', 'hq', 'Ready');
  await shows(tab, /This site is connected/);
  assert.equal(
    tab.complaints.filter((each) => !/ERR_CONNECTION_REFUSED/.test(each)),
    [],
  );
  await again.stop();
});

test('the form is not there unless it was asked for, and takes few guesses', async () => {
  const device = await newDevice(null, 'C1', { args: http });
  assert.is((await fetch(`${await urlOf(device)}/claim`)).status, 404);
  assert.not.match(await (await fetch(await urlOf(device))).text(), /<a /);
  await device.stop();

  const open = await newDevice(null, 'C2', { args: [...http, '--claim-form'] });
  const url = `${await urlOf(open)}/claim`;
  const guess = (pin: string): Promise<number> =>
    fetch(url, { method: 'POST', body: new URLSearchParams({ pin, claim: 'x' }) }).then(({ status }) => status);
  for (let turn = 0; turn < 10; turn++) assert.is(await guess(String(turn)), 403);
  const { message } = await open.untilLogged('the number is');
  assert.is(await guess(/(\d{4} \d{4})$/.exec(message)?.[1] ?? ''), 429, 'not even the right one, for a minute');
  const big = await fetch(url, { method: 'POST', body: 'x'.repeat(200_000) }).then(
    ({ status }) => status,
    () => 413,
  );
  assert.is(big, 413);
});

if (available()) test.run();
