/** What one admin endpoint is: where it answers, the least scope that opens it, what goes in and what comes out. */
import type { z } from 'zod'

/** Scopes of the authority's own API. `signet:admin` opens everything the others open, and what they don't. */
export const ADMIN_SCOPES = ['signet:read', 'signet:revoke', 'signet:keys', 'signet:admin'] as const
export type AdminScope = (typeof ADMIN_SCOPES)[number]

/** Every path below starts with this, at the issuer's origin. */
export const ADMIN_BASE = '/admin/v1'

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below `ADMIN_BASE`; `:name` stands for a path parameter. */
  readonly path: string
  /** The least scope; `signet:admin` always suffices. */
  readonly scope: AdminScope
  /** One sentence for the reference, beginning with a verb: errors say "could not …" with its first clause. */
  readonly brief: string
  readonly params?: z.ZodObject
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  /** Where bodies may be larger than elsewhere (64 KiB). */
  readonly maxBodyBytes?: number
  /** What a success carries; absent: 204 without content. For a stream: one line of it. */
  readonly reply?: z.ZodType
  /** 201 where something was created; 200 unless said. */
  readonly status?: 200 | 201
  /** The answer is newline-delimited JSON, a line as soon as it is known; the last line has `kind: "result"`. */
  readonly stream?: true
  /** Takes an `Idempotency-Key` header: asking twice with the same key gives the same answer and one effect. */
  readonly idempotencyKey?: true
}

type InputOf<S> = S extends z.ZodType ? z.input<S> : undefined
type OutputOf<S> = S extends z.ZodType ? z.output<S> : undefined
type Field<Name extends string, Value> = [Value] extends [undefined]
  ? { readonly [N in Name]?: undefined }
  : // Optional when an empty object would do.
    Record<never, never> extends Value
    ? { readonly [N in Name]?: Value }
    : { readonly [N in Name]: Value }

/** What a caller gives. */
export type CallOf<E extends Endpoint> = Field<'params', InputOf<E['params']>> &
  Field<'query', InputOf<E['query']>> &
  Field<'body', InputOf<E['body']>> & {
    /** For repeating the call later; its tries share one anyway. */
    readonly idempotencyKey?: string
    readonly signal?: AbortSignal
    /** For the few targets that need a wider scope than their endpoint. */
    readonly scope?: AdminScope
  }

/** What a handler gets: checked, defaults filled in. */
export interface RequestOf<E extends Endpoint> {
  readonly params: OutputOf<E['params']>
  readonly query: OutputOf<E['query']>
  readonly body: OutputOf<E['body']>
}

/** What a handler answers with, before it is stripped of everything the schema does not name. */
export type AnswerOf<E extends Endpoint> = E['reply'] extends z.ZodType ? z.input<E['reply']> : undefined

/** What a caller gets. */
export type ReplyOf<E extends Endpoint> = OutputOf<E['reply']>
