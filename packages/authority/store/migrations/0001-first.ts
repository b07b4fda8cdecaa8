/**
 * The first schema. Written once for both engines: `{id}` is a UUID, `{bytes}` a byte string, `{int}` 8 bytes, `{int4}` and
 * `{int2}` what fits in so many, `{name}` text that sorts by its bytes, `{serial}` a number the engine gives, `{keyed}` a table
 * stored in its key where the engine can, `{heap}` a table of long rows. docs/storage-schema.md explains the tables.
 */
export const first = `
create table meta (name {name} not null primary key, value {text} not null) {keyed};

create table clients (
  id {name} not null primary key, status {int2} not null, cutoff_ms {int} not null, revoked_ms {int} not null, created_at {int} not null,
  name {text} not null, platform {text} not null, auth_method {text} not null, secrets {text} not null, jwks {text} not null,
  redirect_uris {text} not null, post_logout_redirect_uris {text} not null, grant_types {text} not null, scopes {text} not null,
  resources {text} not null, introspects {text} not null, dpop_bound {int2} not null, first_party {int2} not null,
  access_token_seconds {int}, refresh_idle_seconds {int}, refresh_max_seconds {int}
) {keyed};

create table resources (
  uri {name} not null primary key, name {text} not null, scopes {text} not null, access_token_seconds {int},
  dpop_required {int2} not null, token_format {int2}, created_at {int} not null
) {keyed};

create table subjects (
  id {id} not null primary key, status {int2} not null, cutoff_ms {int} not null, revoked_ms {int} not null,
  username {name} not null unique, password_hash {text}, claims {text} not null, roles {text} not null, created_at {int} not null
) {keyed};

create table passkeys (
  id {name} not null primary key, subject {id} not null, public_key {bytes} not null, counter {int} not null,
  transports {text} not null, name {text} not null, created_at {int} not null, last_used_at {int}
) {keyed};
create index passkeys_subject on passkeys (subject);

create table sessions (
  id {id} not null primary key, status {int2} not null, cutoff_ms {int} not null, revoked_ms {int} not null,
  subject {id} not null, device {id} not null, secret_hash {bytes} not null, created_at_ms {int} not null, auth_at {int} not null,
  acr {text} not null, amr {text} not null, idle_expires_at {int} not null, expires_at {int} not null
) {keyed};
create index sessions_subject on sessions (subject, id);
create index sessions_expires on sessions (expires_at);

create table devices (
  id {id} not null primary key, status {int2} not null, cutoff_ms {int} not null, revoked_ms {int} not null,
  subject {id} not null, secret_hash {bytes} not null, name {text} not null, created_at {int} not null, last_seen_at {int} not null
) {keyed};
create index devices_subject on devices (subject, id);

create table terms (n {serial}, digest {bytes} not null unique, body {text} not null) {heap};

create table families (
  id {id} not null primary key, subject {id} not null, session {id}, device {id}, cutoff_ms {int} not null,
  created_after_ms {int} not null, rotated_at_ms {int} not null, terms {int4} not null, auth_age {int4} not null,
  idle_seconds {int4} not null, life_seconds {int4} not null, generation {int4} not null, runs {int4} not null, ring {int2} not null,
  previous_ring {int2} not null, status {int2} not null, grace {int2} not null, nonce {bytes} not null, seen {bytes} not null,
  jkt {bytes} not null, parent {bytes} not null
) {keyed_spare};
create index families_subject on families ({subject_tag});

create table codes (
  hash {bytes} not null primary key, purpose {int2} not null, payload {text} not null, family {id}, expires_at {int} not null,
  spent {int2} not null default 0
) {keyed};
create index codes_expires on codes (expires_at);

create table interactions (
  hash {bytes} not null primary key, browser_hash {bytes} not null, payload {text} not null, version {int} not null,
  expires_at {int} not null
) {keyed};
create index interactions_expires on interactions (expires_at);

create table consents (
  subject {id} not null, client {name} not null, scopes {text} not null, resources {text} not null, granted_at {int} not null,
  primary key (subject, client)
) {keyed};
create index consents_client on consents (client);

create table api_keys (
  id {id} not null primary key, secret_hash {bytes} not null, name {text} not null, client {name} not null, subject {id},
  scopes {text} not null, resource {text} not null, status {int2} not null, created_at {int} not null, expires_at {int},
  last_used_at {int}, replaced_by {id}
) {keyed};
create index api_keys_client on api_keys (client, id);
create index api_keys_expires on api_keys (expires_at);

create table keys (
  id {id} not null primary key, purpose {int2} not null, alg {text} not null, state {int2} not null, version {int} not null,
  public_jwk {text}, wrapped {bytes} not null, created_at {int} not null, active_at {int} not null, retiring_at {int}, retired_at {int},
  unique (purpose, version)
) {keyed};

create table replay (key {bytes} not null primary key, expires_at {int} not null) {keyed};
create index replay_expires on replay (expires_at);

create table throttle (key {bytes} not null primary key, tat_ms {int} not null) {keyed};
create index throttle_tat on throttle (tat_ms);

create table idempotency (key {bytes} not null primary key, answer {text} not null, expires_at {int} not null) {keyed};
create index idempotency_expires on idempotency (expires_at);

create table revocation_head (
  one {int2} not null primary key check (one = 1), epoch {text} not null, seq {int} not null, floor {int} not null,
  salt_version {int} not null, salt {bytes} not null
) {heap};

create table revocation_log (
  seq {sequence} primary key, at_ms {int} not null, key {bytes} not null, cutoff_ms {int} not null, drop_after {int} not null,
  kind {int2} not null, issuer {text} not null, target {text} not null, reason {text} not null, actor {text} not null
) {heap};
create index revocation_log_key on revocation_log (key);
create index revocation_log_drop on revocation_log (drop_after);

create table deferred_cutoffs (due_ms {int} not null, family {id} not null, cutoff_ms {int} not null, primary key (due_ms, family)) {keyed};

create table audit_chains (
  chain {id} not null primary key, idx {int} not null, hash {bytes} not null, started_at_ms {int} not null
) {heap};

create table audit_batches (
  chain {id} not null, idx {int} not null, at_ms {int} not null, events {text} not null, count {int4} not null,
  previous {bytes} not null, hash {bytes} not null, primary key (chain, idx)
) {heap};
create index audit_batches_at on audit_batches (at_ms, chain, idx);

create table audit_checkpoints (n {serial}, at_ms {int} not null, note {text} not null) {heap};
`
