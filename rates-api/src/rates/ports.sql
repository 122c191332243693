-- The ports that two codes stand for. A code may be the slug of a region: that stands for the ports in the region and in
-- the regions below it. A code that is both is the port's.
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
)
SELECT ARRAY(SELECT code FROM ports WHERE root = $1 ORDER BY code), ARRAY(SELECT code FROM ports WHERE root = $2 ORDER BY code)
