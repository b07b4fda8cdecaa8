/** Who may use the admin API: clients and administrators with a token for this authority that carries the scope. */
import type { AdminScope } from '@signet/api/schema.ts'
import { ADMIN_SCOPES } from '@signet/api/schema.ts'
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import type { SubjectId } from '@signet/kernel/ids.ts'
import type { PermissionMap } from '@signet/validator/permissions.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { refuse } from '../../administration/reasons.ts'
import type { SubjectParts } from '../../administration/subjects.ts'
import type { AdminCaller } from './parts.ts'

/** The claims of the request's token once it is known to be good for this permission; else a refusal or fault, its challenge set. */
export interface AdminAccess {
  check(request: FastifyRequest, reply: FastifyReply, needs: AdminScope): Promise<AccessTokenClaims>
}

/** What the authority's own validator knows of these scopes: `signet:admin` gives them all. The bounds are in seconds. */
export const ADMIN_PERMISSIONS: PermissionMap = Object.fromEntries(
  ADMIN_SCOPES.map((scope) => [
    scope,
    { scopes: scope === 'signet:admin' ? [scope] : [scope, 'signet:admin'], maxStalenessSeconds: 5 },
  ]),
)

/** Who asks, and what else the token opens. A person needs the role too, as the store has it now, whatever the token says. */
export async function authorise(
  request: FastifyRequest,
  reply: FastifyReply,
  needs: AdminScope,
  { access, store }: { readonly access: AdminAccess; readonly store: SubjectParts['store'] },
): Promise<Pick<AdminCaller, 'actor' | 'may'>> {
  const { sub, client_id, scope = '' } = await access.check(request, reply, needs)
  const scopes = scope.split(' ')
  const may = (wanted: AdminScope): boolean => scopes.includes(wanted) || scopes.includes('signet:admin')
  if ((sub as string) === client_id) return { actor: `client:${client_id}`, may }
  const person = await store.subjects.find(sub as SubjectId)
  if (person?.status !== 'active' || !person.roles.includes('admin')) throw refuse('access_denied', 'not_an_administrator')
  return { actor: `subject:${sub}`, may }
}
