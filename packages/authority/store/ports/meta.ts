/** Single values by name, and checkpoints of the audit record. */

export interface MetaLookups {
  get(name: string): Promise<string | undefined>
}

export interface MetaTransitions {
  get(name: string): Promise<string | undefined>
  put(name: string, value: string): Promise<void>
  delete(name: string): Promise<void>
  /** Keeps the larger number; returns what now stands. */
  raise(name: string, value: number): Promise<number>
  addCheckpoint(atMs: number, note: string): Promise<void>
}
