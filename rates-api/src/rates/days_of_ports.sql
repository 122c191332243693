-- As days.sql, for all pairs of the ports in two lists, as one. What is folded is added up by itself: that is a walk along
-- an index, and needs nothing else.
SELECT day, sum(total)::bigint AS total, sum(count)::bigint AS count
FROM rates_internal.sums
WHERE orig_code = ANY ($1) AND dest_code = ANY ($2) AND day BETWEEN $3 AND $4
GROUP BY day
UNION ALL
SELECT s.day, sum(s.total)::bigint, sum(s.count)::bigint
FROM rates_internal.batches AS b
JOIN rates_internal.batch_prices AS g ON g.batch_id = b.id
CROSS JOIN LATERAL unnest(g.days, g.totals, g.counts) AS s (day, total, count)
WHERE b.status = 'applied' AND b.folded_at IS NULL
    AND (b.folded_orig_code IS NULL OR (b.folded_orig_code, b.folded_dest_code) < (g.orig_code, g.dest_code))
    AND g.orig_code = ANY ($1) AND g.dest_code = ANY ($2) AND s.day BETWEEN $3 AND $4
GROUP BY s.day
