SELECT
  "t0"."slice",
  "t0"."sign",
  "t0"."bucket",
  SUM("t0"."n") AS "n"
FROM "buckets" AS "t0"
GROUP BY
  1,
  2,
  3
