CREATE TABLE regions (
    slug text NOT NULL CONSTRAINT regions_pkey PRIMARY KEY,
    name text NOT NULL,
    parent_slug text CONSTRAINT regions_parent_slug_fkey REFERENCES regions (slug)
);
CREATE TABLE ports (
    code text NOT NULL CONSTRAINT ports_pkey PRIMARY KEY,
    name text NOT NULL,
    parent_slug text NOT NULL CONSTRAINT ports_parent_slug_fkey REFERENCES regions (slug)
);
CREATE TABLE prices (
    orig_code text NOT NULL,
    dest_code text NOT NULL,
    day date NOT NULL,
    price integer NOT NULL
);
INSERT INTO regions VALUES ('sea', 'Sea', NULL);
