SELECT
  `t1`.`slice`,
  COUNT(*) AS `n`,
  SUM(`t1`.`weight`) AS `weight`,
  SUM(`t1`.`weight` * `t1`.`hit`) AS `good`,
  SUM(CAST(`t1`.`value` * `t1`.`weight` AS DECIMAL(38, 12))) AS `total`,
  MIN(`t1`.`value`) AS `low`,
  MAX(`t1`.`value`) AS `high`,
  MAX(IF(`t1`.`at` = `t1`.`newest`, `t1`.`value`, NULL)) AS `last`,
  MAX(`t1`.`at`) AS `last_at`
FROM (
  SELECT
    `t0`.`slice`,
    `t0`.`at`,
    `t0`.`value`,
    `t0`.`weight`,
    `t0`.`hit`,
    MAX(`t0`.`at`) OVER (
      PARTITION BY `t0`.`slice`
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS `newest`
  FROM `facts` AS `t0`
) AS `t1`
GROUP BY
  1
