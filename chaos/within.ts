/**
 * Rejects when the work takes longer. The work may be going on then, so whoever calls tears down what it works on.
 */
export async function within<T>(milliseconds: number, what: string, work: Promise<T> | T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`more than ${milliseconds / 1000} s ${what}`)), milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
