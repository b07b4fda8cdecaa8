/** What an app asks for, in words for the person who is to agree: grouped by the service it concerns. */
import type { ResourceRecord } from '../store/ports/resources.ts'
import type { AuthorizationRequest } from './authorization-request.ts'
import type { SigninParts } from './parts.ts'

export interface AskGroup {
  /** Undefined for the account itself. */
  readonly service: { readonly name: string; readonly uri: string } | undefined
  readonly items: readonly AskItem[]
}
export interface AskItem {
  readonly scope: string
  /** Undefined when nobody described it: then the name must do. */
  readonly description: string | undefined
}

/** Each scope once, under the first service that knows it. */
export async function describeAsk(
  request: Pick<AuthorizationRequest, 'scope' | 'resources'>,
  { grants, issuer }: Pick<SigninParts, 'grants' | 'issuer'>,
): Promise<readonly AskGroup[]> {
  const records = await Promise.all(request.resources.map((uri) => grants.findResource(uri)))
  const known = records.filter((record): record is ResourceRecord => record !== undefined)
  const left = new Set(request.scope)
  const groups = known.map((record): AskGroup => {
    const described = record.scopes.filter(({ name }) => left.delete(name))
    return {
      service: record.uri === issuer ? undefined : { name: record.name, uri: record.uri },
      items: described.map(({ name, description }) => ({
        scope: name,
        description: description === '' ? undefined : description,
      })),
    }
  })
  const rest = [...left].map((scope) => ({ scope, description: undefined }))
  // The account first: who one is comes before what one has.
  const own = {
    service: undefined,
    items: [...groups.filter(({ service }) => service === undefined).flatMap(({ items }) => items), ...rest],
  }
  return [own, ...groups.filter(({ service }) => service !== undefined)].filter(({ items }) => items.length > 0)
}
