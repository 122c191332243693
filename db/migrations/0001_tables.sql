-- The three tables of a dump: taken as they are, or made empty.
-- compatible-with: 1

DO $$
DECLARE
    wrong record;
BEGIN
    SELECT wanted.in_table, wanted.named, wanted.types, format_type(a.atttypid, NULL) AS found
    INTO wrong
    FROM (VALUES
        ('regions', 'slug', '{text,character varying}'::text[]),
        ('regions', 'name', '{text,character varying}'),
        ('regions', 'parent_slug', '{text,character varying}'),
        ('ports', 'code', '{text,character varying}'),
        ('ports', 'name', '{text,character varying}'),
        ('ports', 'parent_slug', '{text,character varying}'),
        ('prices', 'orig_code', '{text,character varying}'),
        ('prices', 'dest_code', '{text,character varying}'),
        ('prices', 'day', '{date}'),
        ('prices', 'price', '{integer}')
    ) AS wanted (in_table, named, types)
    LEFT JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = to_regclass('public.' || wanted.in_table)
        AND a.attname = wanted.named AND a.attnum > 0 AND NOT a.attisdropped
    WHERE to_regclass('public.' || wanted.in_table) IS NOT NULL
        AND (a.attname IS NULL OR format_type(a.atttypid, NULL) <> ALL (wanted.types))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'table public.% needs a column "%" of type %, and has %',
            wrong.in_table, wrong.named, array_to_string(wrong.types, ' or '),
            coalesce('one of type ' || wrong.found, 'none of that name')
            USING ERRCODE = 'invalid_table_definition';
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS public.regions (
    slug text NOT NULL,
    name text NOT NULL,
    parent_slug text,
    CONSTRAINT regions_pkey PRIMARY KEY (slug),
    CONSTRAINT regions_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions (slug)
);

CREATE TABLE IF NOT EXISTS public.ports (
    code text NOT NULL,
    name text NOT NULL,
    parent_slug text NOT NULL,
    CONSTRAINT ports_pkey PRIMARY KEY (code),
    CONSTRAINT ports_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions (slug)
);

CREATE TABLE IF NOT EXISTS public.prices (
    orig_code text NOT NULL,
    dest_code text NOT NULL,
    day date NOT NULL,
    price integer NOT NULL,
    CONSTRAINT prices_dest_code_fkey FOREIGN KEY (dest_code) REFERENCES public.ports (code),
    CONSTRAINT prices_orig_code_fkey FOREIGN KEY (orig_code) REFERENCES public.ports (code)
);
