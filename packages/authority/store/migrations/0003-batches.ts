/** Batches: jobs over whatever a selector names. The plan is long and never changes, so it lies apart from the row that each piece updates. */
export const batches = `
create table batches (
  id {id} not null primary key, action {int2} not null, state {int2} not null, summary {text} not null, reason {text} not null,
  actor {text} not null, per_second {int4} not null, planned_at_ms {int} not null, started_at_ms {int}, ended_at_ms {int},
  place {text} not null, moved {int} not null, unmoved {int} not null, unsettled {text} not null, holder {text} not null,
  lease_until_ms {int} not null, trouble {text}, undoes {id}, undone_by {id}
) {heap};
create index batches_state on batches (state, id);

create table batch_plans (id {id} not null primary key, body {text} not null) {heap};

create table batch_holds (
  batch {id} not null, target {name} not null, kind {int2} not null, primary key (batch, target, kind)
) {keyed};
create index batch_holds_target on batch_holds (target, kind);
`
