/** Bounds of a listing. */
import type { Page } from '../ports/page.ts'

export const MAX_PAGE = 500

/** Text ids come after ''. */
export function pageOf(page: Page): { after: string; limit: number } {
  return { after: page.after ?? '', limit: boundedLimit(page.limit, MAX_PAGE) }
}

/** UUIDs come after the one that is all zeros. */
export function uuidPageOf(page: Page): { after: string; limit: number } {
  return { after: page.after ?? '00000000-0000-0000-0000-000000000000', limit: boundedLimit(page.limit, MAX_PAGE) }
}

export function boundedLimit(limit: number, most: number): number {
  return Math.max(1, Math.min(most, Math.floor(limit)))
}
