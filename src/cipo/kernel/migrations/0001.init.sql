-- The store. See docs/concepts/store.md for the reasons; every table lives in schema cipo.
-- depends:

create schema cipo;

-- resourceVersion of an object = number of the event that wrote it.
create sequence cipo.event_seq;

create table cipo.resource (
  uid         uuid primary key,                       -- UUIDv7, made by the writer
  gk          text not null,                          -- 'Asset.facilities.cipo'
  name        text not null check (length(name) between 1 and 253),
  rv          bigint not null,
  generation  bigint not null,
  unit        text not null,                          -- '1A/U-W2'; for chart kinds the unit they speak of
  labels      jsonb not null default '{}',
  fields      jsonb not null default '{}',            -- declared selectable fields
  body        text not null,                          -- the JSON exactly as served
  cells       text not null default '[]',             -- printer cells, JSON array
  created_at  timestamptz not null,
  deleting_at timestamptz,
  unique (gk, name)
);
create index resource_labels on cipo.resource using gin (labels jsonb_path_ops);
create index resource_fields on cipo.resource using gin (fields jsonb_path_ops);
create index resource_rv on cipo.resource (gk, rv);
create index resource_name on cipo.resource (name text_pattern_ops);

create table cipo.claim (
  scope text not null,
  value text not null,
  uid   uuid not null references cipo.resource on delete cascade,
  path  text not null,
  primary key (scope, value)
);
create index claim_uid on cipo.claim (uid);
create index claim_value on cipo.claim (value text_pattern_ops);   -- the search box

create table cipo.claim_scope (id bigint generated always as identity primary key, name text not null unique);

-- A range lives on one number line: scope id * 2^129 + [lo, hi), so no extension is needed to exclude within a scope.
create table cipo.claim_range (
  uid      uuid not null references cipo.resource on delete cascade,
  scope_id bigint not null references cipo.claim_scope,
  path     text not null,
  r        numrange not null,
  exclude using gist (r with &&)
);
create index claim_range_uid on cipo.claim_range (uid);

-- no action (checked at the end of the statement), so that an object may refer to itself and a cascade goes in one statement.
create table cipo.ref (
  src  uuid not null references cipo.resource on delete cascade,
  path text not null,
  dst  uuid not null references cipo.resource on delete no action,
  primary key (src, path, dst)
);
create index ref_dst on cipo.ref (dst);

create table cipo.event (
  seq        bigint primary key,
  xid        xid8 not null default pg_current_xact_id(),
  at         timestamptz not null default clock_timestamp(),
  actor      text not null,
  simulated  boolean not null default false,
  unit       text not null,                           -- acting unit
  owner      text not null,                           -- unit of the object: who may read this row
  verb       text not null,
  type       text not null,                           -- ADDED, MODIFIED, DELETED
  gk         text not null,
  name       text not null,
  uid        uuid not null,
  generation bigint not null,
  reason     text not null default '',
  message    text not null default '',
  request_id text not null default '',
  diff       jsonb                                    -- RFC 6902
);
create index event_uid on cipo.event (uid, seq);
create index event_gk on cipo.event (gk, seq);
create index event_xid on cipo.event (xid, seq);            -- the change feed walks by transaction, see store/feed.py

create table cipo.event_body (
  seq        bigint not null,
  day        date not null,
  old_labels jsonb,
  old_fields jsonb,
  body       text not null,
  cells      text not null,
  labels     jsonb not null,
  fields     jsonb not null
) partition by range (day);
create table cipo.event_body_rest partition of cipo.event_body default;
create index event_body_seq on cipo.event_body (seq);

-- The oldest event a watch may start from; raised when event bodies are dropped.
create table cipo.watch_floor (one boolean primary key default true check (one), min_seq bigint not null default 0);
insert into cipo.watch_floor default values;

create table cipo.fact (
  ts        timestamptz not null,
  name      text not null,
  unit      text not null,                            -- unit of the chart that wrote it
  value     double precision not null,
  subject   uuid,
  gk        text,
  object    text,
  attrs     jsonb not null default '{}',
  clock     text not null default 'world',
  simulated boolean not null default false,
  seq       bigint not null                           -- the event it was written with
) partition by range (ts);
create table cipo.fact_rest partition of cipo.fact default;
create index fact_name_ts on cipo.fact (name, ts);

create table cipo.kpi_point (
  kpi   text not null,
  at    timestamptz not null,
  value double precision,
  state text not null check (state in ('met', 'missed', 'unknown')),
  n     bigint not null,
  primary key (kpi, at)
);

create table cipo.work (
  uid          uuid primary key references cipo.resource on delete cascade,
  gk           text not null,
  due          timestamptz not null,
  leased_until timestamptz,
  worker       text,
  dirty        bigint not null default 1,
  attempts     int not null default 0,
  error        text
);
create index work_due on cipo.work (due);

-- Numbers given out one by one (tags, order numbers).
create table cipo.counter (name text primary key, value bigint not null);

-- An action's answer, kept so that a repeated request with the same key gets the same answer.
create table cipo.idempotency (
  principal text not null,
  key       text not null,
  at        timestamptz not null default now(),
  request   bytea not null,                           -- SHA-256 of what was asked
  answer    text not null,
  primary key (principal, key)
);
create index idempotency_at on cipo.idempotency (at);

create table cipo.principal (
  name        text primary key,
  kind        text not null check (kind in ('user', 'service')),
  units       text[] not null default '{}',
  leads       text[] not null default '{}',
  simulated   boolean not null default false,
  created_at  timestamptz not null default now(),
  disabled_at timestamptz
);

create table cipo.token (
  hash       bytea primary key,                       -- SHA-256; the token itself is never stored
  principal  text not null references cipo.principal on delete cascade,
  purpose    text not null check (purpose in ('api', 'login', 'session')),
  label      text not null default '',
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at    timestamptz,
  resource   uuid references cipo.resource on delete cascade  -- the ServiceAccount it was issued for: its tokens go with it
);
create index token_principal on cipo.token (principal);
create index token_resource on cipo.token (resource) where resource is not null;

-- Raised from inside the one-statement write when an optimistic update found another version.
create function cipo.expect(rows bigint, wanted bigint) returns bigint language plpgsql as $$
begin
  if rows <> wanted then
    raise exception 'version conflict: % of % rows', rows, wanted using errcode = 'CP409';
  end if;
  return rows;
end $$;

-- Partitions are made ahead of time by the owner, whoever calls; the default ones stay empty.
create function cipo.make_partitions() returns int language plpgsql security definer set search_path = cipo, pg_temp as $$
declare
  made int := 0;
  start date;
  part text;
begin
  perform pg_advisory_xact_lock(hashtext('cipo.make_partitions'));
  for i in 0..2 loop
    start := (date_trunc('month', now() at time zone 'utc') + i * interval '1 month')::date;
    part := 'fact_' || to_char(start, 'YYYY_MM');
    if to_regclass('cipo.' || part) is null and not exists (select 1 from cipo.fact_rest where ts >= start and ts < start + interval '1 month') then
      execute format('create table cipo.%I partition of cipo.fact for values from (%L) to (%L)', part,
        start::timestamp at time zone 'utc', (start + interval '1 month')::timestamp at time zone 'utc');
      made := made + 1;
    end if;
    start := (now() at time zone 'utc')::date + i;
    part := 'event_body_' || to_char(start, 'YYYY_MM_DD');
    if to_regclass('cipo.' || part) is null and not exists (select 1 from cipo.event_body_rest where day = start) then
      execute format('create table cipo.%I partition of cipo.event_body for values from (%L) to (%L)', part, start, start + 1);
      made := made + 1;
    end if;
  end loop;
  return made;
end $$;

-- What a watch can start from is kept for a day; the events themselves stay.
create function cipo.drop_old_bodies() returns int language plpgsql security definer set search_path = cipo, pg_temp as $$
declare
  part record;
  gone int := 0;
  last bigint;
begin
  perform pg_advisory_xact_lock(hashtext('cipo.make_partitions'));
  for part in select c.relname from pg_class c join pg_inherits i on i.inhrelid = c.oid
    where i.inhparent = 'cipo.event_body'::regclass and c.relname ~ '^event_body_\d{4}_\d{2}_\d{2}$'
      and to_date(substr(c.relname, 12), 'YYYY_MM_DD') < (now() at time zone 'utc')::date - 1
  loop
    execute format('select max(seq) from cipo.%I', part.relname) into last;
    update cipo.watch_floor set min_seq = greatest(min_seq, coalesce(last, 0));
    execute format('drop table cipo.%I', part.relname);
    gone := gone + 1;
  end loop;
  return gone;
end $$;

select cipo.make_partitions();
