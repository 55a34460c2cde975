/**
 * The two services of the demo, each a process of its own: `services.ts shop FILE`, the hub's HTTP server with a
 * page and a large file, and `services.ts printer DIR`, the store's TCP server, which sends back what it gets.
 * The first line on stdout says on which port: `{"event":"ready","port":N}`.
 */
import { createReadStream, statSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { pipeline } from 'node:stream';

const page = `<!doctype html>
<title>Price list</title>
<h1>Price list</h1>
<p>Coffee 2.20, tea 1.90. Served by the hub, process ${process.pid}.</p>
`;

function shop(file: string): Server {
  return createHttpServer((request, response) => {
    if (request.url === '/') {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end(page);
    } else if (request.url === '/file') {
      response.setHeader('content-length', statSync(file).size);
      pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), response, () => {});
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
}

function printer(): Server {
  return createServer({ allowHalfOpen: true }, (socket) => pipeline(socket, socket, () => {}));
}

const [service, path] = process.argv.slice(2);
const server = service === 'shop' ? shop(path) : printer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ event: 'ready', port }));
});
