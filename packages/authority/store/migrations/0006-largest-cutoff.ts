/** The largest cutoff of any entry so far, and the same before the last commit: what was issued between two commits lies past the first. */
export const largestCutoff = `
alter table revocation_head add column cutoff_ms {int} not null default 0;
alter table revocation_head add column previous_cutoff_ms {int} not null default 0;
`
