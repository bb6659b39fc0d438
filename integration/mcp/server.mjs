// An MCP server for tests: npm's `@modelcontextprotocol/sdk` over streamable HTTP, without sessions.
// It knows nothing of tokens: who calls comes in the gateway's header. Listens only on loopback, on
// PORT; prints `listening` once it does.

import http from 'node:http';

import './node18.mjs';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

function server(headers) {
  const mcp = new McpServer({ name: 'orders', version: '1.0.0' });
  const text = (value) => ({ content: [{ type: 'text', text: JSON.stringify(value) }] });
  mcp.registerTool('whoami', { description: 'Says who calls, as the gateway says' }, async () =>
    text({ user: headers['x-user-id'], authorization: headers.authorization }),
  );
  return mcp;
}

http
  .createServer(async (request, response) => {
    const mcp = server(request.headers);
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    response.on('close', () => {
      transport.close();
      mcp.close();
    });
    await mcp.connect(transport);
    await transport.handleRequest(request, response);
  })
  .listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening'));
