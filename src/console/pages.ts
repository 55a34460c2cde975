/** The pages of a running site, by path. */
import { SkiffError } from '../errors.ts';
import type { ThreadWatch } from '../health/thread.ts';
import { answered, selfCheck } from '../site/self-check.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import type { ClaimForm } from './claim-form.ts';
import { expositionType, write } from './exposition.ts';
import { familiesOf } from './metrics.ts';
import { type Answer, htmlType, type Pages, plain } from './server.ts';
import { type StatusSources, statusFacts } from './status-facts.ts';
import { statusPage } from './status-page.ts';

/** What the pages tell of. */
export interface PageContext {
  site: Site;
  store: Store;
  /** Of the main thread. */
  watch: ThreadWatch;
  status: StatusSources;
  /** null: nobody asked for it. */
  form: ClaimForm | null;
}

export function pagesOf(context: PageContext): Pages {
  const { form, status } = context;
  return {
    '/': { show: () => home(status, form?.isOpen ?? false) },
    '/healthz': { show: () => unlessHanging(() => health(context)) },
    '/metrics': { show: () => unlessHanging(() => metrics(context)) },
    ...(form ? { '/claim': { show: () => form.show(), submit: (body) => form.submit(body) } } : {}),
  };
}

/** Everything in it is known already: it is there whatever hangs. */
function home(status: StatusSources, form: boolean): Answer {
  const { html, headers } = statusPage(statusFacts(status), { form });
  return { status: 200, type: htmlType, body: html, headers };
}

async function health({ site, store }: PageContext): Promise<Answer> {
  await selfCheck(site, store);
  return plain(200, 'OK');
}

async function metrics({ site, store, watch }: PageContext): Promise<Answer> {
  const observation = await answered(site.observe());
  const families = familiesOf(observation, { databaseOctets: store.octets(), main: watch.facts });
  return { status: 200, type: expositionType, body: write(families) };
}

/** What a site cannot say now it may say later: that is for whoever asked to know, and no mistake of the page. */
async function unlessHanging(page: () => Promise<Answer>): Promise<Answer> {
  try {
    return await page();
  } catch (error) {
    if (!(error instanceof SkiffError)) throw error;
    return plain(503, `${error.message} [${error.code}]`);
  }
}
