"""A dump as pg_dump writes it, for tests: HEAD, TABLES and PRIMARY_KEY one after the other."""

TABLES = """CREATE TABLE public.regions (slug text NOT NULL, name text NOT NULL, parent_slug text);
CREATE TABLE public.ports (code text NOT NULL, name text NOT NULL, parent_slug text NOT NULL);
CREATE TABLE public.prices (orig_code text NOT NULL, dest_code text NOT NULL, day date NOT NULL, price integer NOT NULL);
COPY public.ports (code, name, parent_slug) FROM stdin;
AAAAA\tAarhus\tnorth
BBBBB\tBergen\tnorth
\\.
COPY public.prices (orig_code, dest_code, day, price) FROM stdin;
AAAAA\tBBBBB\t2021-01-01\t1000
AAAAA\tBBBBB\t2021-01-01\t1100
AAAAA\tBBBBB\t2021-01-01\t1200
\\.
"""
HEAD = """--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET client_min_messages = warning;

"""
PRIMARY_KEY = "ALTER TABLE ONLY public.ports ADD CONSTRAINT ports_pkey PRIMARY KEY (code);\n"
