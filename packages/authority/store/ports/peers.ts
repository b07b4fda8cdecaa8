/** Other regions, and how far each has come. */
/** A place in a region's log. */
export interface LogPlace {
  readonly epoch: string
  readonly seq: number
}

export interface PeerRecord extends LogPlace {
  readonly name: string
  /** The store's clock when its log was last known to be here up to its head; 0: never. */
  readonly freshAtMs: number
  /** Its public keys, JSON. */
  readonly keys: string
  /** How far it has taken over our log, by its own account. */
  readonly toldEpoch: string
  readonly toldSeq: number
}

/** The number in this epoch up to which every peer has taken over our log; what comes after it is held for them. */
export const heldAfter = (peers: readonly PeerRecord[], epoch: string): number =>
  Math.min(Number.MAX_SAFE_INTEGER, ...peers.map((peer) => (peer.toldEpoch === epoch ? peer.toldSeq : 0)))

export interface PeerLookups {
  all(): Promise<readonly PeerRecord[]>
}

export interface PeerTransitions {
  all(): Promise<readonly PeerRecord[]>
  /** At the beginning of its log, with no keys. False when it is there. */
  create(name: string): Promise<boolean>
  /** Compare-and-set of how far its log was taken over: of any number of concurrent callers one wins. */
  advance(name: string, from: LogPlace, to: LogPlace): Promise<boolean>
  /** Keeps the larger time; false while `place` has not been reached. */
  prove(name: string, place: LogPlace, freshAtMs: number): Promise<boolean>
  putKeys(name: string, keys: string): Promise<boolean>
  /** How far it has taken over ours. Within an epoch it never goes back; false when nothing changed. */
  tell(name: string, place: LogPlace): Promise<boolean>
  delete(name: string): Promise<boolean>
}
