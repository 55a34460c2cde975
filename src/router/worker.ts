/** The router thread: takes configuration from the main thread, keeps the parts running, and reports their states. */
import { parentPort } from 'node:worker_threads';
import { Clock } from '../clock.ts';
import { RecentLog } from '../health/recent-log.ts';
import { ThreadWatch } from '../health/thread.ts';
import { setLogSink } from '../log.ts';
import { Parts } from '../tcp/parts.ts';
import type { RouterEvent, RouterRequest } from './protocol.ts';

/** Records of the log that management shows. */
const KEPT_RECORDS = 200;

const port = parentPort;
if (!port) throw new Error('this is a worker thread');

const send = (event: RouterEvent): void => port.postMessage(event);
const recent = new RecentLog(KEPT_RECORDS);
setLogSink(recent.before((record) => send({ type: 'log', record })));

const watch = new ThreadWatch();
const clock = new Clock();
let parts: Parts | null = null;

port.on('message', (request: RouterRequest) => {
  switch (request.type) {
    case 'start':
      parts = new Parts(
        request.identity,
        (states) => send({ type: 'states', states }),
        (change) => send({ type: 'network', ...change }),
        clock.now,
      );
      parts.mailbox.onEvent = send;
      parts.recentLog = () => recent.records;
      return;
    case 'apply': {
      const { seq } = request;
      void parts?.apply(request.put, request.remove).then(() => send({ type: 'applied', seq }));
      return;
    }
    case 'clock':
      if (clock.correct(request.time)) parts?.retryLinks();
      return;
    case 'revoke':
      parts?.revoke(request.fingerprints);
      return;
    case 'privileges':
      parts?.grant(request.put, request.remove);
      return;
    case 'measure':
      send({
        type: 'traffic',
        seq: request.seq,
        parts: parts?.measure() ?? [],
        router: parts && { ...parts.load, ...watch.facts },
      });
      return;
    case 'manage': {
      const { seq } = request;
      void parts?.manage(request).then((reply) => send({ type: 'managed', seq, reply }));
      return;
    }
    case 'mail.subscribe':
    case 'mail.send':
    case 'mail.taken':
      parts?.mailbox.handle(request);
      return;
    case 'stop':
      void Promise.resolve(parts?.stop(request.withinMs)).then(() => {
        watch.close();
        send({ type: 'stopped' });
        port.close();
      });
      return;
  }
});
