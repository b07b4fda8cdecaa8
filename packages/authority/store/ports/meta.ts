/** Single values by name, and checkpoints of the audit record. */

export interface MetaLookups {
  get(name: string): Promise<string | undefined>
  /** The longest life that any policy version ever allowed a token; 0 before the first. */
  tokenSeconds(): Promise<number>
}

export interface MetaTransitions {
  get(name: string): Promise<string | undefined>
  put(name: string, value: string): Promise<void>
  delete(name: string): Promise<void>
  /** Keeps the larger number; returns what now stands. */
  raise(name: string, value: number): Promise<number>
  tokenSeconds(): Promise<number>
  /** Before anything may live that long. */
  raiseTokenSeconds(seconds: number): Promise<void>
  addCheckpoint(atMs: number, note: string): Promise<void>
}
