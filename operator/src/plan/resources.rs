//! What a container asks for and may use: the spec's amounts, and the profile's where it is silent.

use super::invalid::Invalid;
use super::profile::Amounts;
use crate::crd;
use crate::quantity::Quantity;

/// The least that LimitRanges usually want of a container.
const USUAL_LEAST_CPU: &str = "50m";
const USUAL_LEAST_MEMORY: &str = "64Mi";

/// What a container asks for and may use at most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resources {
    pub cpu: Quantity,
    pub memory: Quantity,
    /// Only where the spec sets one.
    pub cpu_limit: Option<Quantity>,
    pub memory_limit: Quantity,
}

impl Resources {
    /// `field` names the place in the spec. A default gives way to what was set: a limit is never
    /// below the request beside it, whichever of the two the spec names.
    pub(super) fn of(
        spec: Option<&crd::Resources>,
        field: &'static str,
        defaults: &Amounts,
    ) -> Result<Self, Invalid> {
        Self::over(spec, field, Self::default_of(field, defaults)?)
    }

    /// Of a container beside a main one. It asks for little; where a person sets what the main one asks
    /// for, there may be a LimitRange, and it asks for the least that those usually want.
    pub(super) fn beside(
        spec: Option<&crd::Resources>,
        field: &'static str,
        defaults: &Amounts,
        main: Option<&Self>,
    ) -> Result<Self, Invalid> {
        let little = Self::default_of(field, defaults)?;
        let Some(main) = main else {
            return Self::over(spec, field, little);
        };
        let usual_cpu = parse(USUAL_LEAST_CPU, field, "250m")?;
        let usual_memory = parse(USUAL_LEAST_MEMORY, field, "256Mi")?;
        let defaults = Self {
            cpu: little.cpu.max(lower(usual_cpu, Some(&main.cpu))),
            memory: little.memory.max(lower(usual_memory, Some(&main.memory))),
            ..little
        };
        Self::over(spec, field, defaults)
    }

    fn default_of(field: &'static str, defaults: &Amounts) -> Result<Self, Invalid> {
        Ok(Self {
            cpu: parse(defaults.cpu, field, "250m")?,
            memory: parse(defaults.memory, field, "256Mi")?,
            cpu_limit: None,
            memory_limit: parse(defaults.memory_limit, field, "1Gi")?,
        })
    }

    fn over(spec: Option<&crd::Resources>, field: &'static str, defaults: Self) -> Result<Self, Invalid> {
        let requests = spec.and_then(|spec| spec.requests.as_ref());
        let limits = spec.and_then(|spec| spec.limits.as_ref());
        let set = |amount: Option<&String>, example| -> Result<Option<Quantity>, Invalid> {
            amount.map(|text| parse(text, field, example)).transpose()
        };
        let cpu = set(requests.and_then(|amounts| amounts.cpu.as_ref()), "250m")?;
        let memory = set(requests.and_then(|amounts| amounts.memory.as_ref()), "256Mi")?;
        let cpu_limit = set(limits.and_then(|amounts| amounts.cpu.as_ref()), "2")?;
        let memory_limit = set(limits.and_then(|amounts| amounts.memory.as_ref()), "1Gi")?;
        let Self {
            cpu: default_cpu,
            memory: default_memory,
            memory_limit: default_limit,
            ..
        } = defaults;
        let memory = memory.unwrap_or_else(|| lower(default_memory, memory_limit.as_ref()));
        Ok(Self {
            cpu: cpu.unwrap_or_else(|| lower(default_cpu, cpu_limit.as_ref())),
            memory_limit: memory_limit.unwrap_or_else(|| default_limit.max(memory.clone())),
            memory,
            cpu_limit,
        })
    }
}

impl Resources {
    /// As the status shows them.
    #[must_use]
    pub fn shown(&self) -> crd::Resources {
        let text = |amount: &Quantity| Some(amount.as_str().to_owned());
        crd::Resources {
            requests: Some(crd::Amounts {
                cpu: text(&self.cpu),
                memory: text(&self.memory),
            }),
            limits: Some(crd::Amounts {
                cpu: self.cpu_limit.as_ref().and_then(text),
                memory: text(&self.memory_limit),
            }),
        }
    }
}

fn lower(amount: Quantity, limit: Option<&Quantity>) -> Quantity {
    match limit {
        Some(limit) if *limit < amount => limit.clone(),
        Some(_) | None => amount,
    }
}

fn parse(text: &str, field: &'static str, example: &'static str) -> Result<Quantity, Invalid> {
    Quantity::parse(text).ok_or_else(|| Invalid::Quantity {
        field,
        value: text.to_owned(),
        example,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::Amounts as Set;

    const DEFAULTS: Amounts = Amounts {
        cpu: "20m",
        memory: "96Mi",
        memory_limit: "1Gi",
    };

    fn set(cpu: Option<&str>, memory: Option<&str>) -> Set {
        Set {
            cpu: cpu.map(str::to_owned),
            memory: memory.map(str::to_owned),
        }
    }

    fn texts(resources: &Resources) -> [&str; 4] {
        [
            resources.cpu.as_str(),
            resources.memory.as_str(),
            resources.cpu_limit.as_ref().map_or("", Quantity::as_str),
            resources.memory_limit.as_str(),
        ]
    }

    #[test]
    fn the_profile_gives_what_the_spec_leaves_out() {
        let of = |spec: Option<&crd::Resources>| Resources::of(spec, "api.resources", &DEFAULTS).unwrap();
        assert_eq!(texts(&of(None)), ["20m", "96Mi", "", "1Gi"]);
        let spec = crd::Resources {
            requests: Some(set(Some("1"), None)),
            limits: None,
        };
        assert_eq!(texts(&of(Some(&spec))), ["1", "96Mi", "", "1Gi"]);
    }

    #[test]
    fn a_default_never_contradicts_what_was_set() {
        let of = |spec: crd::Resources| Resources::of(Some(&spec), "api.resources", &DEFAULTS).unwrap();
        let large = of(crd::Resources {
            requests: Some(set(None, Some("4Gi"))),
            limits: None,
        });
        assert_eq!(texts(&large), ["20m", "4Gi", "", "4Gi"]);
        let small = of(crd::Resources {
            requests: None,
            limits: Some(set(Some("10m"), Some("64Mi"))),
        });
        assert_eq!(texts(&small), ["10m", "64Mi", "10m", "64Mi"]);
    }

    #[test]
    fn a_container_beside_one_that_a_person_sized_fits_the_usual_limit_ranges() {
        const LITTLE: Amounts = Amounts {
            cpu: "1m",
            memory: "16Mi",
            memory_limit: "128Mi",
        };
        let beside = |spec: Option<&crd::Resources>, main: Option<&Resources>| {
            Resources::beside(spec, "jobs.resources", &LITTLE, main).unwrap()
        };
        assert_eq!(texts(&beside(None, None)), ["1m", "16Mi", "", "128Mi"]);
        let main = |cpu, memory| {
            let spec = crd::Resources {
                requests: Some(set(Some(cpu), Some(memory))),
                limits: None,
            };
            Resources::of(Some(&spec), "database.resources", &DEFAULTS).unwrap()
        };
        let large = beside(None, Some(&main("2", "4Gi")));
        assert_eq!(texts(&large), ["50m", "64Mi", "", "128Mi"]);
        let small = beside(None, Some(&main("30m", "48Mi")));
        assert_eq!(texts(&small), ["30m", "48Mi", "", "128Mi"]);
        let own = crd::Resources {
            requests: Some(set(Some("7m"), None)),
            limits: Some(set(None, Some("40Mi"))),
        };
        assert_eq!(
            texts(&beside(Some(&own), Some(&main("2", "4Gi")))),
            ["7m", "40Mi", "", "40Mi"]
        );
    }

    #[test]
    fn an_amount_that_is_no_quantity_is_told_with_its_place() {
        let spec = crd::Resources {
            requests: Some(set(Some("many"), None)),
            limits: None,
        };
        let invalid = Resources::of(Some(&spec), "api.resources", &DEFAULTS).unwrap_err();
        assert!(
            invalid
                .to_string()
                .starts_with("spec.api.resources \"many\" is no quantity"),
            "{invalid}"
        );
    }
}
