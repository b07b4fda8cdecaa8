/** Milliseconds of a clock that all processes of this machine share and that never steps. */
export const sharedMs = (): number => Number(process.hrtime.bigint()) / 1e6
