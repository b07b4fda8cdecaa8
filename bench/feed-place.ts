/** Where a stream of the feed goes on from its present head: at an authority, or at a relay of it. */
import { RELAY_PATH } from '@signet/kernel/feed.ts'

export async function placeAtHead(issuer: string, relay?: string): Promise<string> {
  const document = relay === undefined ? `${issuer}/.well-known/oauth-authorization-server` : `${relay}${RELAY_PATH}`
  const metadata = (await (await fetch(document)).json()) as { signet_feed: { head: string; stream: string } }
  const [head, stream] = [metadata.signet_feed.head, metadata.signet_feed.stream].map((path) => new URL(path, document).href)
  const probe = crypto.randomUUID()
  const jws = await (await fetch(`${head}?probe=${probe}`)).text()
  const { epoch, seq } = JSON.parse(Buffer.from(jws.split('.')[1] as string, 'base64url').toString()) as {
    epoch: string
    seq: number
  }
  return `${stream}?after=${seq}&epoch=${epoch}`
}
