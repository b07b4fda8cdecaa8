/** Which client a request says it is from, and by what it proves that: read from the Authorization header and the form. */
import { type Refusal, refusal } from '@signet/kernel/errors.ts'
import { Secret } from '@signet/kernel/secret.ts'
import type { ClientCredentials } from '../../clients/authenticate-client.ts'
import { ASSERTION_TYPE } from '../../clients/client-assertion.ts'
import { decode, type Form } from '../form.ts'
import type { DoorReason } from '../respond.ts'

/** The credentials; a refusal when there are none, several (RFC 6749 §2.3), or they cannot be read. */
export function readCredentials(authorization: string | undefined, form: Form): ClientCredentials {
  const clientId = form.get('client_id')
  const secret = form.get('client_secret')
  const assertion = form.get('client_assertion')
  const ways = [authorization, secret, assertion].filter((way) => way !== undefined).length
  if (ways > 1) throw refuse('invalid_request', 'several_client_credentials')
  if (authorization !== undefined) {
    const basic = readBasic(authorization)
    // Some clients name themselves in the body too. That is no second proof, as long as it is the same name.
    if (clientId !== undefined && clientId !== basic.clientId) throw refuse('invalid_request', 'several_client_credentials')
    return basic
  }
  if (assertion !== undefined) {
    if (form.get('client_assertion_type') !== ASSERTION_TYPE) throw refuse('invalid_request', 'unknown_assertion_type')
    return { method: 'private_key_jwt', clientId, assertion: new Secret(assertion) }
  }
  if (clientId === undefined) throw refuse('invalid_client', 'client_credentials_missing')
  return secret === undefined
    ? { method: 'none', clientId }
    : { method: 'client_secret_post', clientId, secret: new Secret(secret) }
}

/** RFC 6749 §2.3.1: name and secret are form-encoded each before they are joined and encoded for HTTP. */
function readBasic(authorization: string): ClientCredentials & { clientId: string } {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization)?.[1]
  if (encoded === undefined || encoded.length > MAX_BASIC) throw refuse('invalid_client', 'malformed_credentials')
  const text = Buffer.from(encoded, 'base64').toString('latin1')
  const colon = text.indexOf(':')
  const clientId = decode(text.slice(0, colon))
  const secret = decode(text.slice(colon + 1))
  if (colon < 1 || !clientId || !secret) throw refuse('invalid_client', 'malformed_credentials')
  return { method: 'client_secret_basic', clientId, secret: new Secret(secret) }
}

const MAX_BASIC = 4096
const refuse = (code: 'invalid_request' | 'invalid_client', reason: DoorReason): Refusal => refusal(code, reason)
