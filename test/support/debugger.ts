/** Into the router thread of a site, through the debugger that SIGUSR1 opens in every Node. */
import { eventually, within } from './eventually.ts';
import type { Skiff } from './skiff.ts';

/**
 * Evaluates an expression in the router thread of a site that runs from source; done when it was evaluated or ended the
 * thread. The executable opens no debugger on any signal.
 */
export async function evaluateInRouter(site: Skiff, expression: string): Promise<void> {
  site.kill('SIGUSR1');
  const line = await eventually('the debugger listens', () =>
    site.errors.find((each) => each.startsWith('Debugger listening on ')),
  );
  const socket = new WebSocket(line.slice('Debugger listening on '.length));
  try {
    let count = 0;
    const ask = (method: string, params: object = {}): void =>
      socket.send(JSON.stringify({ id: ++count, method, params }));
    const attached = Promise.withResolvers<string>();
    const done = Promise.withResolvers<void>();
    socket.addEventListener('message', ({ data }) => {
      const { method, params } = JSON.parse(String(data));
      if (method === 'NodeWorker.attachedToWorker') attached.resolve(params.sessionId);
      if (/detachedFromWorker|receivedMessageFromWorker/.test(method)) done.resolve();
    });
    await within(
      'the debugger answers',
      new Promise<void>((resolve, reject) => {
        socket.addEventListener('open', () => resolve());
        socket.addEventListener('error', () => reject(new Error('the debugger refuses')));
      }),
    );
    ask('NodeWorker.enable', { waitForDebuggerOnStart: false });
    const sessionId = await within('the router thread shows', attached.promise);
    const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
    ask('NodeWorker.sendMessageToWorker', { sessionId, message });
    await within('the answer or the end of the thread', done.promise);
  } finally {
    // The process waits for its debugger before it ends.
    socket.close();
  }
}
