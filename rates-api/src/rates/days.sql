SELECT day, total, count
FROM rates_internal.sums
WHERE orig_code = $1 AND dest_code = $2 AND day BETWEEN $3 AND $4
UNION ALL
SELECT s.day, s.total, s.count
FROM rates_internal.batches AS b
JOIN rates_internal.batch_prices AS g ON g.batch_id = b.id
CROSS JOIN LATERAL unnest(g.days, g.totals, g.counts) AS s (day, total, count)
WHERE b.status = 'applied' AND b.folded_at IS NULL
    AND (b.folded_orig_code IS NULL OR (b.folded_orig_code, b.folded_dest_code) < ($1, $2))
    AND g.orig_code = $1 AND g.dest_code = $2 AND s.day BETWEEN $3 AND $4
