/** What can go wrong between a client and the admin API, as one type that says what to do about it. */
import type { Problem } from './schema.ts'

export type ApiErrorKind =
  /** Nobody answered at that address. */
  | 'unreachable'
  /** Something answered, but not a Signet authority of a version we understand. */
  | 'incompatible'
  /** The authority is there and cannot do it now. */
  | 'unavailable'
  /** It does not know who is asking. */
  | 'unauthenticated'
  /** It knows, and the asker may not. */
  | 'forbidden'
  | 'invalid'
  | 'not_found'
  | 'conflict'
  | 'refused'

export class ApiError extends Error {
  readonly kind: ApiErrorKind
  /** Why, in the authority's words where it said any. */
  readonly why: string
  /** What the person should do now. */
  readonly advice: string
  /** HTTP status; 0 when there was no answer. */
  readonly status: number
  readonly code: string | undefined
  readonly reason: string | undefined
  readonly details: NonNullable<Problem['details']>
  constructor(
    kind: ApiErrorKind,
    told: { what: string; why: string; advice: string; status?: number; problem?: Partial<Problem> | undefined; cause?: unknown },
  ) {
    super(told.what, { cause: told.cause })
    this.name = 'ApiError'
    this.kind = kind
    this.why = told.why
    this.advice = told.advice
    this.status = told.status ?? 0
    this.code = told.problem?.error
    this.reason = told.problem?.reason
    this.details = told.problem?.details ?? []
  }
}

/** The error for an answer that is not a success. `doing` completes the sentence "could not …". */
export function errorFromAnswer(doing: string, status: number, problem: Partial<Problem> | undefined): ApiError {
  const kind = kindOf(status, problem)
  const said = problem?.error_description ?? (problem?.error === undefined ? `it answered with status ${status}` : problem.error)
  const why =
    problem?.reason === undefined || said.includes(problem.reason) ? said : `${said.replace(/\.$/, '')} (${problem.reason})`
  return new ApiError(kind, { what: `Could not ${doing}`, why, advice: ADVICE[kind], status, problem })
}

function kindOf(status: number, problem: Partial<Problem> | undefined): ApiErrorKind {
  if (problem?.error === undefined) return status >= 500 ? 'unavailable' : 'incompatible'
  if (problem.error === 'invalid_client' || status === 401) return 'unauthenticated'
  if (problem.error === 'not_found') return 'not_found'
  if (problem.error === 'conflict') return 'conflict'
  if (status === 403 || problem.error === 'invalid_scope' || problem.error === 'unauthorized_client') return 'forbidden'
  if (status === 429 || status >= 500) return 'unavailable'
  return problem.error === 'invalid_request' ? 'invalid' : 'refused'
}

const ADVICE: Record<ApiErrorKind, string> = {
  unreachable: 'Start the authority, or name the right address.',
  incompatible: 'Check the address, and that client and authority are of the same version.',
  unavailable: 'Try again in a moment; the status of the authority says what it waits for.',
  unauthenticated: "Check that the credentials are this authority's and still in force.",
  forbidden: 'Ask an administrator for a client or role that has the scope.',
  invalid: 'Correct the members named and send it again.',
  not_found: 'List what there is, and check the id.',
  conflict: 'Read the present state, then decide again.',
  refused: 'The reason above says which rule refused it.',
}
