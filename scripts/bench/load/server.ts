/**
 * The server behind every system, `server.ts PORT`: the least of an HTTP server, so that what is measured is the way to
 * it. `GET /flood` is answered without end; `PUT /sink` takes everything and answers with the number of octets.
 */
import net, { type Socket } from 'node:net';

const BODY = 'x'.repeat(128);
const KEEP = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
const CLOSE = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`);
const FLOOD = Buffer.alloc(256 * 1_024, 'x');

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.once('data', (first) => {
    const request = first.toString('latin1', 0, 16);
    if (request.startsWith('GET /flood')) flood(socket);
    else if (request.startsWith('PUT /sink')) sink(socket, first.length);
    else http(socket, first);
  });
});

function http(socket: Socket, first: Buffer): void {
  let rest = '';
  const onData = (data: Buffer): void => {
    const requests = (rest + data.toString('latin1')).split('\r\n\r\n');
    rest = requests.pop()!;
    for (const request of requests) {
      if (request.includes('Connection: close')) socket.end(CLOSE);
      else socket.write(KEEP);
    }
  };
  socket.on('data', onData);
  socket.on('end', () => socket.end());
  onData(first);
}

function flood(socket: Socket): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(FLOOD));
  };
  socket.on('drain', more);
  socket.on('end', () => socket.destroy());
  more();
}

function sink(socket: Socket, octets: number): void {
  let sum = octets;
  socket.on('data', (data) => {
    sum += data.length;
  });
  socket.on('end', () => socket.end(`${sum}\n`));
}

server.listen(Number(process.argv[2]), '127.0.0.1', 4_096, () => console.log('ready'));
