/** `/subjects`, `/invitations`: between the wire and administration/subjects.ts. */
import type { Answer } from '@signet/api/schema.ts'
import type { SubjectId } from '@signet/kernel/ids.ts'
import { Secret } from '@signet/kernel/secret.ts'
import {
  changeSubject,
  createSubject,
  findByUsername,
  findSubject,
  invite,
  recover,
  removePasskey,
  removeSubject,
  type SubjectParts,
  type SubjectRecord,
  setPassword,
} from '../../administration/subjects.ts'
import { given, page } from './page.ts'
import type { Some } from './parts.ts'

type Names =
  | 'listSubjects'
  | 'createSubject'
  | 'showSubject'
  | 'updateSubject'
  | 'deleteSubject'
  | 'setPassword'
  | 'inviteSubject'
  | 'recoverSubject'
  | 'deletePasskey'

export function subjectHandlers(parts: SubjectParts): Some<Names> {
  const { store } = parts
  return {
    async listSubjects({ query }) {
      if (query.username === undefined)
        return page(
          query,
          (bounds) => store.subjects.list(bounds),
          ({ id }) => id,
          show,
        )
      const found = await findByUsername(query.username, parts)
      return { items: found === undefined ? [] : [await show(found)] }
    },
    showSubject: async ({ params }) => show(await findSubject(params.id, parts)),
    async createSubject({ body: { username, claims, roles, password } }, { actor }) {
      return show(await createSubject({ username, claims, roles }, secretOf(password), actor, parts))
    },
    async updateSubject({ params, body }, { actor }) {
      return show(await changeSubject(params.id as SubjectId, given(body), actor, parts))
    },
    async deleteSubject({ params }, caller) {
      await removeSubject(params.id as SubjectId, caller, parts)
      return undefined
    },
    async setPassword({ params, body }, { actor }) {
      await setPassword(params.id as SubjectId, secretOf(body.password ?? undefined), actor, parts)
      return undefined
    },
    async inviteSubject({ body: { username, claims, roles } }, { actor }) {
      return showLink(await invite({ claims, roles, ...given({ username }) }, actor, parts))
    },
    recoverSubject: async ({ params }, { actor }) => showLink(await recover(params.id as SubjectId, actor, parts)),
    async deletePasskey({ params }, caller) {
      await removePasskey(params.id as SubjectId, params.passkey, caller, parts)
      return undefined
    },
  }

  async function show(subject: SubjectRecord): Promise<Answer<'showSubject'>> {
    const passkeys = await store.subjects.passkeys(subject.id)
    return {
      id: subject.id,
      username: subject.username,
      status: subject.status,
      claims: { ...subject.claims },
      roles: [...subject.roles],
      has_password: subject.passwordHash !== undefined,
      passkeys: passkeys.length,
      created_at: subject.createdAt,
      revoked_ms: subject.revokedMs,
    }
  }
}

const secretOf = (text: string | undefined): Secret | undefined => (text === undefined ? undefined : new Secret(text))

const showLink = ({ url, expiresAt }: { readonly url: string; readonly expiresAt: number }) => ({ url, expires_at: expiresAt })
