SELECT
  "t1"."slice",
  "t1"."sign",
  "t1"."bucket",
  SUM("t1"."weight") AS "n"
FROM (
  SELECT
    "t0"."slice",
    "t0"."at",
    "t0"."value",
    "t0"."weight",
    "t0"."hit",
    CAST(CASE WHEN "t0"."value" > 0 THEN 1 WHEN "t0"."value" < 0 THEN -1 ELSE 0 END AS SMALLINT) AS "sign",
    CASE
      WHEN "t0"."value" = 0
      THEN 0
      ELSE CAST(CAST(CEIL(LN(NULLIF(ABS("t0"."value"), 0)) / 0.020000666706669435) AS BIGINT) AS INT)
    END AS "bucket"
  FROM "facts" AS "t0"
) AS "t1"
GROUP BY
  1,
  2,
  3
