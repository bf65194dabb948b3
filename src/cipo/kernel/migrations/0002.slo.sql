-- Facts that may come late, twice or corrected; slices that add up; published figures that are never rewritten. See docs/concepts/kpi.md.
-- depends: 0001.init

alter table cipo.fact
  add column id          uuid not null default gen_random_uuid(),
  add column recorded_at timestamptz not null default clock_timestamp(),  -- ts is when it happened
  add column weight      bigint not null default 1 check (weight between 1 and 1000000000000),
  add column supersedes  uuid;                       -- the fact it corrects
create index fact_id on cipo.fact (id);
create index fact_subject on cipo.fact (subject, name, ts) where subject is not null;   -- a subject's start and end

-- A writer's own key makes a repetition harmless: the same key and payload is the same fact.
create table cipo.fact_key (
  name   text not null,
  key    text not null,
  digest bytea not null,
  id     uuid not null,
  primary key (name, key)
);

create table cipo.fact_superseded (
  id   uuid primary key,                              -- corrected once; the correction can be corrected in turn
  by   uuid not null,
  name text not null,
  ts   timestamptz not null                           -- of the corrected fact: its slice is recomputed too
);

-- Minutes whose facts changed. Appended with the facts, taken by the roller; no key, so that writers never wait for one another.
create table cipo.fact_dirty (name text not null, at timestamptz not null);
create index fact_dirty_name on cipo.fact_dirty (name, at);

-- What is sliced: a fact, its filter and the test of good. Indicators with one definition share one series.
create table cipo.series (
  id         int generated always as identity primary key,
  definition text not null unique,                    -- canonical JSON
  fact       text not null,
  end_fact   text,
  buckets    boolean not null,
  keep       interval not null default '8 days',      -- of minutes
  since      timestamptz                              -- of its first fact
);
create index series_fact on cipo.series (fact);

create table cipo.slice (
  series  int not null,                               -- of cipo.series; rows are made by the roller alone, by the hundred thousand
  size    smallint not null check (size in (1, 15, 1440)),   -- minutes
  at      timestamptz not null,
  n       bigint not null,
  weight  bigint not null,
  good    bigint not null,
  total   numeric not null,                           -- exact: sums do not depend on the order of adding
  low     double precision not null,
  high    double precision not null,
  last    double precision not null,
  last_at timestamptz not null,
  filled  bigint not null,                            -- minutes with facts
  keys    int[],                                      -- the histogram, ordered: sign * (bucket + 40000), 0 for zeros;
  counts  bigint[],                                   -- and how many of each. Rows of their own would outnumber thin facts.
  primary key (series, size, at)
);

-- What began and has not ended, of each series of durations: kept by the roller, so that asking costs what is open and not what ever was.
create table cipo.fact_open (
  series  int not null,
  id      uuid not null,                              -- the fact that began it
  ts      timestamptz not null,
  subject uuid not null,
  primary key (series, id)
);
create index fact_open_subject on cipo.fact_open (series, subject);

-- Figures as they were published. A later input makes a revision; nothing is updated.
create table cipo.kpi_period (
  kpi       text not null,
  start     timestamptz not null,
  "end"     timestamptz not null,
  revision  int not null,
  series    int,
  from_at   timestamptz not null,                     -- what the figure read: [from_at, end)
  value     double precision,
  state     text not null check (state in ('met', 'missed', 'unknown')),
  n         bigint not null,
  weight    bigint not null,
  good      bigint not null,
  coverage  double precision,
  objective text not null,
  digest    bytea not null,                           -- SHA-256 of the inputs
  reason    text not null default '',
  causes    jsonb not null default '[]',              -- facts that made the revision
  at        timestamptz not null default clock_timestamp(),
  primary key (kpi, start, revision)
);

-- Closed periods that facts have touched since: to be computed again.
create table cipo.kpi_reopened (kpi text not null, start timestamptz not null, primary key (kpi, start));

-- Opening hours of business calendars; before_s is what was open before lo, so a duration is a difference of two look-ups.
create table cipo.open_hours (
  calendar text not null,
  lo       timestamptz not null,
  hi       timestamptz not null check (hi > lo),
  before_s double precision not null,
  primary key (calendar, lo)
);

create function cipo.open_seconds(of_calendar text, at timestamptz) returns double precision language sql stable as $$
  select coalesce((select before_s + extract(epoch from least(at, hi) - lo) from cipo.open_hours
                   where calendar = of_calendar and lo <= at order by lo desc limit 1), 0)::float8
$$;

-- Business seconds from a to b; the calendar 24x7 is always open.
create function cipo.business_seconds(of_calendar text, a timestamptz, b timestamptz) returns double precision language sql stable as $$
  select case when of_calendar = '24x7' then extract(epoch from b - a)::float8
              else cipo.open_seconds(of_calendar, b) - cipo.open_seconds(of_calendar, a) end
$$;

-- Whoever writes, corrects or deletes facts marks their minutes, in the same transaction: nobody can forget it.
create function cipo.mark_written() returns trigger language plpgsql as $$
begin
  insert into cipo.fact_dirty (name, at) select distinct name, date_bin('1 minute', ts, 'epoch') from written;
  return null;
end $$;
create function cipo.mark_gone() returns trigger language plpgsql as $$
begin
  insert into cipo.fact_dirty (name, at) select distinct name, date_bin('1 minute', ts, 'epoch') from gone;
  return null;
end $$;
create function cipo.mark_changed() returns trigger language plpgsql as $$
begin
  insert into cipo.fact_dirty (name, at)
    select name, date_bin('1 minute', ts, 'epoch') from gone union select name, date_bin('1 minute', ts, 'epoch') from written;
  return null;
end $$;
create trigger fact_written after insert on cipo.fact referencing new table as written for each statement execute function cipo.mark_written();
create trigger fact_gone after delete on cipo.fact referencing old table as gone for each statement execute function cipo.mark_gone();
create trigger fact_changed after update on cipo.fact referencing old table as gone new table as written
  for each statement execute function cipo.mark_changed();
create trigger superseded_written after insert on cipo.fact_superseded referencing new table as written
  for each statement execute function cipo.mark_written();

-- Months that facts of the past fall into; the default partition is for what nobody foresaw.
create function cipo.make_fact_partitions(lo timestamptz, hi timestamptz) returns int language plpgsql security definer set search_path = cipo, pg_temp as $$
declare
  made int := 0;
  start timestamp;
  part text;
begin
  if hi - lo > interval '20 years' then
    raise exception 'more than 20 years of partitions';
  end if;
  perform pg_advisory_xact_lock(hashtext('cipo.make_partitions'));
  start := date_trunc('month', lo at time zone 'utc');
  while start < hi at time zone 'utc' loop
    part := 'fact_' || to_char(start, 'YYYY_MM');
    if to_regclass('cipo.' || part) is null and not exists (
      select 1 from cipo.fact_rest where ts >= start at time zone 'utc' and ts < (start + interval '1 month') at time zone 'utc'
    ) then
      execute format('create table cipo.%I partition of cipo.fact for values from (%L) to (%L)', part,
        start at time zone 'utc', (start + interval '1 month') at time zone 'utc');
      made := made + 1;
    end if;
    start := start + interval '1 month';
  end loop;
  return made;
end $$;

-- Facts written before this step are rolled like any other.
insert into cipo.fact_dirty (name, at) select distinct name, date_bin('1 minute', ts, 'epoch') from cipo.fact;
