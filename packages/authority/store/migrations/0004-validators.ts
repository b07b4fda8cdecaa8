/**
 * Who follows the revocation feed and how far, known to every node. `steps` is the end of its history: `seq@ms,` for each number it
 * was first heard to have applied. Rows are small and there are few: see revocation/fleet.ts for their bounds.
 */
export const validators = `
create table validators (
  client {name} not null, validator {name} not null, epoch {text} not null, applied {int} not null, steps {text} not null,
  staleness_ms {int}, version {text} not null, first_seen_ms {int} not null, seen_ms {int} not null,
  primary key (client, validator)
) {keyed};
create index validators_seen on validators (seen_ms);
`
