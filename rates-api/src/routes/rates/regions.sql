-- As days.sql, for codes that may be slugs of regions: those stand for the ports in the region and in the regions
-- below it. A code that is both is the port's.
WITH RECURSIVE below (root, slug) AS (
    SELECT slug, slug FROM public.regions WHERE slug IN ($1, $2)
    UNION
    SELECT b.root, r.slug FROM below AS b JOIN public.regions AS r ON r.parent_slug = b.slug
),
ports (root, code) AS (
    SELECT code, code FROM public.ports WHERE code IN ($1, $2)
    UNION ALL
    SELECT b.root, p.code FROM below AS b JOIN public.ports AS p ON p.parent_slug = b.slug
    WHERE NOT EXISTS (SELECT FROM public.ports AS same WHERE same.code = b.root)
),
pairs (origin, destination) AS (
    SELECT o.code, d.code FROM ports AS o CROSS JOIN ports AS d WHERE o.root = $1 AND d.root = $2
)
SELECT day, sum(total)::bigint AS total, sum(count)::bigint AS count
FROM (
    SELECT s.day, s.total, s.count
    FROM pairs AS p
    JOIN rates_internal.sums AS s ON s.orig_code = p.origin AND s.dest_code = p.destination
    WHERE s.day BETWEEN $3 AND $4
    UNION ALL
    SELECT s.day, s.total, s.count
    FROM rates_internal.batches AS b
    CROSS JOIN pairs AS p
    JOIN rates_internal.batch_prices AS g
        ON g.batch_id = b.id AND g.orig_code = p.origin AND g.dest_code = p.destination
    CROSS JOIN LATERAL unnest(g.days, g.totals, g.counts) AS s (day, total, count)
    WHERE b.status = 'applied' AND b.folded_at IS NULL
        AND (b.folded_orig_code IS NULL OR (b.folded_orig_code, b.folded_dest_code) < (p.origin, p.destination))
        AND s.day BETWEEN $3 AND $4
) AS parts
GROUP BY day
