//! The reasons of conditions, each in one word.

macro_rules! reasons {
    ($($(#[$doc:meta])* $group:ident: $($name:ident)+;)+) => {
        /// The reason of a condition.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Reason {
            $($($name,)+)+
        }

        #[derive(Eq, PartialEq)]
        enum Group {
            $($(#[$doc])* $group,)+
        }

        impl Reason {
            const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// As conditions and Events have it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$name => stringify!($name),)+)+
                }
            }

            const fn group(self) -> Group {
                match self {
                    $($(Self::$name => Group::$group,)+)+
                }
            }
        }
    };
}

reasons! {
    /// What keeps a pod from running and will hardly pass by itself.
    PodFailure:
        PodRefused ImagePullFailed ContainerNotStarted CrashLoop OutOfMemory DiskFull StartFailed Unschedulable
        NotReady;
    /// What else went wrong.
    Failure:
        NotPermitted ReadFailed ApplyFailed VolumeReplaced GatewayApiMissing PodMonitorMissing ExporterImageMissing RouteRefused SeedFailed SourceMissing SourceNotServed SourceIsItself SourceCircle NotShared Retrying
        IdleUnknown InvalidSpec InvalidSecret NameTaken NoActivator Refused RolloutStuck RolledBack MigrationFailed ApiUnavailable StandbyLost StandbyFailed Paused;
    /// What is, and what is being done.
    Progress:
        Accepted AnotherWriter Applied Asleep Available Complete Empty FallingAsleep LifetimeEnds Loaded Loading Migrated Migrating NoPrimary Ready
        Reconnecting ReplacingInstances Replicated Restarting Resuming RollingOut RotatingPassword Seeding Serving
        SingleInstance SourceNotReady Starting Stopping Suspended Suspending Terminating Waiting WaitingForDeletion WaitingForIdleness WaitingForNode
        WaitingForStandby WaitingForTurn WaitingForVolume Waking;
}

impl Reason {
    /// The reason of a condition that was written before, also by another release.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }

    /// Whether it tells of a pod that will hardly run by itself.
    #[must_use]
    pub fn is_pod_failure(self) -> bool {
        self.group() == Group::PodFailure
    }

    /// Whether a person should hear of it.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.group() != Group::Progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_should_hear_of_is_known_by_its_text() {
        for (text, expected) in [
            ("CrashLoop", (true, true)),
            ("SeedFailed", (false, true)),
            ("Suspended", (false, false)),
        ] {
            let reason = Reason::parse(text).unwrap();
            assert_eq!((reason.is_pod_failure(), reason.is_failure()), expected, "{text}");
        }
        assert_eq!(Reason::parse("Unheard"), None);
    }
}
