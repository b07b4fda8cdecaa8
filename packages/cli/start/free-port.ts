import { createServer } from 'node:net'

const given = new Set<number>()

/** A port of the loopback interface that nobody listens on at this moment, and that was not given before. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await unusedPort()
    if (given.has(port)) continue
    given.add(port)
    return port
  }
}

function unusedPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
