/** A client of the management of routers: requests to `$management`, and their answers. */
import { AmqpClient, type Receiver, type Sender } from './amqp.ts';

export interface Reply {
  status: number;
  description: string;
  // biome-ignore lint/suspicious/noExplicitAny: each operation has a body of its own, which its test looks into.
  body: any;
  correlationId: unknown;
}

export type Row = Record<string, unknown>;

export const typeName = (name: string): string => `io.skupper.router.${name}`;

export class Management {
  readonly client: AmqpClient;
  readonly #requests: Sender;
  readonly #replies: Receiver;
  readonly #address: string;
  #count = 0;

  private constructor(client: AmqpClient, requests: Sender, replies: Receiver, address: string) {
    this.client = client;
    this.#requests = requests;
    this.#replies = replies;
    this.#address = address;
  }

  /** At the `normal` access at this port; `address`: whose management, when it is another's. */
  static async connect(port: number, address = '$management'): Promise<Management> {
    const client = await AmqpClient.connect(port);
    const replies = await client.receiver({ address: '', dynamic: true }, { autoaccept: true, credit: 1_000 });
    const requests = await client.sender(address === '$management' ? address : null);
    await requests.untilCredit();
    return new Management(client, requests, replies, address);
  }

  /** Sends a request without waiting for its answer. */
  send(properties: Row, body: unknown = {}, correlationId: unknown = ++this.#count): void {
    this.#requests.link.send({
      to: this.#address,
      reply_to: this.#replies.address,
      correlation_id: correlationId as string,
      application_properties: properties,
      body,
    });
  }

  async reply(): Promise<Reply> {
    const { message } = await this.#replies.next();
    const { statusCode, statusDescription } = message.application_properties as Row;
    const { body, correlation_id: correlationId } = message;
    return { status: Number(statusCode), description: String(statusDescription), body, correlationId };
  }

  /** Asks, and hands back what is answered. */
  async ask(properties: Row, body?: unknown, correlationId?: unknown): Promise<Reply> {
    this.send(properties, body, correlationId);
    return this.reply();
  }

  /** The rows of a type, as objects. */
  async query(type: string, names: string[] = [], page: Row = {}): Promise<Row[]> {
    const properties = { operation: 'QUERY', entityType: typeName(type), ...page };
    const { status, description, body } = await this.ask(properties, { attributeNames: names });
    if (status !== 200) throw new Error(`QUERY ${type}: ${status} ${description}`);
    const { attributeNames, results } = body as { attributeNames: string[]; results: unknown[][] };
    return results.map((row) => Object.fromEntries(attributeNames.map((name, index) => [name, row[index]])));
  }
}
