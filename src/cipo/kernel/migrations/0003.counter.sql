-- What /metrics has served of each promise, so that its counters never go back. See docs/concepts/prometheus.md.
-- depends: 0002.slo

create table cipo.sli_counter (
  objective   text primary key,
  source      text not null,                        -- the series and which side of its test is good
  good        bigint not null,                      -- the highest figures served
  bad         bigint not null,
  good_before bigint not null default 0,            -- what an earlier source had counted, less what this one began with
  bad_before  bigint not null default 0
);
