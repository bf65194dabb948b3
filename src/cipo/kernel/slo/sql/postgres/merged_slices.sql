SELECT
  "t1"."slice",
  SUM("t1"."n") AS "n",
  SUM("t1"."weight") AS "weight",
  SUM("t1"."good") AS "good",
  SUM("t1"."total") AS "total",
  MIN("t1"."low") AS "low",
  MAX("t1"."high") AS "high",
  MAX("t1"."last") FILTER(WHERE
    "t1"."last_at" = "t1"."newest") AS "last",
  MAX("t1"."last_at") AS "last_at",
  SUM("t1"."filled") AS "filled"
FROM (
  SELECT
    "t0"."slice",
    "t0"."n",
    "t0"."weight",
    "t0"."good",
    "t0"."total",
    "t0"."low",
    "t0"."high",
    "t0"."last",
    "t0"."last_at",
    "t0"."filled",
    MAX("t0"."last_at") OVER (
      PARTITION BY "t0"."slice"
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS "newest"
  FROM "slices" AS "t0"
) AS "t1"
GROUP BY
  1
