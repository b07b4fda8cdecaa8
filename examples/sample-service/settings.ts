/** What the sample needs to know; `npm start` registers it at the authority and writes this file for it. */
import { readFileSync } from 'node:fs'

export interface SampleSettings {
  /** The authority. */
  readonly issuer: string
  /** Where this process is reached. */
  readonly url: string
  /** The audience of tokens for its API. */
  readonly resource: string
  /** The OAuth client that the page signs in with. */
  readonly app: { readonly clientId: string; readonly clientSecret: string }
  /** What the service follows the revocation feed with. */
  readonly feed: { readonly clientId: string; readonly clientSecret: string }
}

export const readSettings = (path: string): SampleSettings => JSON.parse(readFileSync(path, 'utf8')) as SampleSettings
