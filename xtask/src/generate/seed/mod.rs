//! The project's own seed: real ports, regions of this project's making, and made-up prices.
//!
//! The same program gives the same bytes everywhere: integers only, a generator of
//! random numbers with a fixed seed, no clock and no map with an order of its own.

mod calendar;
mod lanes;
mod places;
mod prices;
mod random;

pub use random::Random;

use std::fmt::Write as _;

use places::{PORTS, REGIONS};

/// The seed as a plain dump in the form of `pg_dump --no-owner --no-privileges`.
pub fn dump() -> String {
    let mut text = String::from(HEAD);

    text.push_str(&data(
        "ports",
        "COPY public.ports (code, name, parent_slug) FROM stdin;",
    ));
    for port in PORTS {
        row(
            &mut text,
            format_args!("{}\t{}\t{}", port.code, port.name, port.region),
        );
    }
    text.push_str("\\.\n\n\n");

    text.push_str(&data(
        "prices",
        "COPY public.prices (orig_code, dest_code, day, price) FROM stdin;",
    ));
    for price in prices::all() {
        row(
            &mut text,
            format_args!(
                "{}\t{}\t{}\t{}",
                price.origin, price.destination, price.day, price.dollars
            ),
        );
    }
    text.push_str("\\.\n\n\n");

    text.push_str(&data(
        "regions",
        "COPY public.regions (slug, name, parent_slug) FROM stdin;",
    ));
    for region in REGIONS {
        row(
            &mut text,
            format_args!(
                "{}\t{}\t{}",
                region.slug,
                region.name,
                region.parent.unwrap_or("\\N")
            ),
        );
    }
    text.push_str("\\.\n\n\n");

    text.push_str(FOOT);
    text
}

fn data(table: &str, copy: &str) -> String {
    format!("--\n-- Data for Name: {table}; Type: TABLE DATA; Schema: public; Owner: -\n--\n\n{copy}\n")
}

fn row(text: &mut String, fields: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{fields}");
}

const HEAD: &str = "\
--
-- PostgreSQL database dump
--

-- Made by `cargo xtask generate`: real ports, made-up prices. Change the generator, not this file.

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: ports; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ports (
    code text NOT NULL,
    name text NOT NULL,
    parent_slug text NOT NULL
);


--
-- Name: prices; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.prices (
    orig_code text NOT NULL,
    dest_code text NOT NULL,
    day date NOT NULL,
    price integer NOT NULL
);


--
-- Name: regions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.regions (
    slug text NOT NULL,
    name text NOT NULL,
    parent_slug text
);


";

const FOOT: &str = "\
--
-- Name: ports ports_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ports
    ADD CONSTRAINT ports_pkey PRIMARY KEY (code);


--
-- Name: regions regions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.regions
    ADD CONSTRAINT regions_pkey PRIMARY KEY (slug);


--
-- Name: ports ports_parent_slug_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ports
    ADD CONSTRAINT ports_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions(slug);


--
-- Name: prices prices_dest_code_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.prices
    ADD CONSTRAINT prices_dest_code_fkey FOREIGN KEY (dest_code) REFERENCES public.ports(code);


--
-- Name: prices prices_orig_code_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.prices
    ADD CONSTRAINT prices_orig_code_fkey FOREIGN KEY (orig_code) REFERENCES public.ports(code);


--
-- Name: regions regions_parent_slug_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.regions
    ADD CONSTRAINT regions_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions(slug);


--
-- PostgreSQL database dump complete
--

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dump_is_small_enough_to_live_in_the_repository_and_holds_many_prices() {
        let bytes = dump().len();
        assert!((1_000_000..4_000_000).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn no_field_needs_escaping_in_copy() {
        let odd = |text: &str| text.contains(['\\', '\t', '\n', '\r']);
        assert!(!PORTS.iter().any(|port| odd(port.code) || odd(port.name)));
        assert!(!REGIONS.iter().any(|region| odd(region.slug) || odd(region.name)));
    }

    #[test]
    fn every_generation_is_the_same() {
        assert!(dump() == dump());
    }
}
