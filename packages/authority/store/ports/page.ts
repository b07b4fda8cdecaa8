/** Bounds a listing: at most `limit` (≤ 500) rows whose id comes after `after`. */
export interface Page {
  readonly after?: string
  readonly limit: number
}
