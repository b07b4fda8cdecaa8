/**
 * Several regions. A log entry says what was done (`act`, null in entries of before) and from which region's log it was copied
 * (`origin`, null for our own). `peers` has one row for each other region: how far its log was taken over here and when that was known
 * to be all of it, its public keys, and how far it says it has taken over ours.
 */
export const regions = `
alter table revocation_log add column act {int2};
alter table revocation_log add column origin {text};

create table peers (
  name {name} not null primary key, epoch {text} not null, seq {int} not null, fresh_at_ms {int} not null, keys {text} not null,
  told_epoch {text} not null, told_seq {int} not null
) {keyed};
`
