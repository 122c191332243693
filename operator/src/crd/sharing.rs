//! `spec.sharing`: who may copy the environment's data, and how masked.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Namespaces whose environments may copy the data, and what of it they get.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sharing {
    /// The namespaces, 1 to 64; "*" is every namespace. The environment's own is one like the others.
    /// Example: [previews].
    #[schemars(length(min = 1, max = 64))]
    pub namespaces: Vec<ReaderNamespace>,

    /// How many percent of the pairs of ports are copied, 1 to 100, each with all of its prices. They
    /// are the same pairs in every copy. Default: all of them. Example: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100")
        .message("sharing.sample is a percentage of the pairs of ports, 1 to 100: leave it out to share all of them"))]
    pub sample: Option<i32>,

    /// What readers get in place of the values. It happens in the source's database, so that masked
    /// values never leave it. Default: the values as they are. Example: {prices: {noise: 20}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
}

/// A namespace, or all of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ReaderNamespace(
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$")
    )]
    pub String,
);

/// What readers get in place of the values, by column. A column that is not named is copied as it is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mask {
    /// The prices: exactly one of noise and constant. Example: {noise: 20}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PricesMask>,

    /// The days of the prices. Example: {shift: -364}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<DaysMask>,

    /// The names of the ports; their codes stay, as prices refer to them. Example: {constant: a port}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_names: Option<NamesMask>,

    /// The names of the regions; their slugs stay, as ports refer to them. Example: {constant: a region}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_names: Option<NamesMask>,
}

/// What readers get in place of the prices.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.__null__) || has(self.noise) != has(self.constant)")
    .message("sharing.mask.prices has exactly one member: set noise (percent) or constant (a price)"))]
#[x_kube(validation = Rule::new("!has(self.__null__)")
    .message("sharing.mask.prices.null: a price cannot be null in the tables: write constant: 0 to hide the prices"))]
pub struct PricesMask {
    /// Each price is multiplied by a random factor that differs from 1 by at most so many percent, 1 to
    /// 100. Example: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100")
        .message("sharing.mask.prices.noise is a percentage, 1 to 100, such as 20"))]
    pub noise: Option<i32>,

    /// Every price is this one, a whole number from 0 to 1000000000. Example: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000000000")
        .message("sharing.mask.prices.constant is a whole number from 0 to 1000000000, such as 1000"))]
    pub constant: Option<i32>,

    /// Refused, as the tables take no price that is null: write constant in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<bool>,
}

/// What readers get in place of the days.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DaysMask {
    /// Every day is moved by so many days, -3650 to 3650. A multiple of 7 keeps the weekdays.
    /// Example: -364.
    #[x_kube(validation = Rule::new("self >= -3650 && self <= 3650 && self != 0")
        .message("sharing.mask.days.shift is a number of days from -3650 to 3650 and not 0, such as -364"))]
    pub shift: i32,
}

/// What readers get in place of names.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.__null__) || has(self.constant)")
    .message("sharing.mask: portNames and regionNames have the member constant: set it to the name that takes the place of all, such as a port"))]
#[x_kube(validation = Rule::new("!has(self.__null__)")
    .message("sharing.mask: a name of a port or a region cannot be null in the tables: write constant, such as a port"))]
pub struct NamesMask {
    /// Every name is this one, 1 to 64 characters. Example: a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub constant: Option<String>,

    /// Refused, as the tables take no name that is null: write constant in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<bool>,
}
