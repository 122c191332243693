//! The stand-ins for releases of the API, as whoever built them says where they are.

use anyhow::{Context as _, Result};

/// `MODE=REFERENCE`, separated by commas; the modes are in `src/bin/stand_in.rs`.
const VARIABLE: &str = "RATES_E2E_IMAGES";

#[derive(Clone, Debug)]
pub struct Images(Vec<(String, String)>);

impl Images {
    pub fn of_environment() -> Result<Self> {
        let text = std::env::var(VARIABLE).with_context(|| {
            format!("{VARIABLE} names the images of the stand-ins; `cargo xtask` sets it")
        })?;
        let pairs = text.split(',').map(|pair| {
            let (mode, reference) = pair
                .split_once('=')
                .with_context(|| format!("{VARIABLE}: {pair:?} is not MODE=REFERENCE"))?;
            Ok((mode.to_owned(), reference.to_owned()))
        });
        Ok(Self(pairs.collect::<Result<_>>()?))
    }

    pub fn get(&self, mode: &str) -> Result<String> {
        let found = self.0.iter().find(|(name, _)| name == mode);
        let (_, reference) = found.with_context(|| format!("{VARIABLE} names no image {mode}"))?;
        Ok(reference.clone())
    }
}
