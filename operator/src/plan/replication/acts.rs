//! What people ask for by annotations, and the move of the primary that scaling down needs.
//!
//! Each is judged once, before anything is done: it begins or is refused, with an Event either way. What has begun is
//! noted, and followed until it is done; then the annotation goes.

use kube::ResourceExt;

use super::act::Act;
use super::situation::{Acting, Situation, Step};
use crate::annotations::{FAILOVER, REPLACE, SWITCHOVER};

impl Situation<'_> {
    #[must_use]
    pub fn acting(&self) -> Acting {
        if let Some(act) = self.view.order.act.as_deref().and_then(Act::parse) {
            return self.follow(&act);
        }
        for (annotation, judge) in [
            (FAILOVER, Self::failover as fn(&Self, &str) -> Step),
            (REPLACE, Self::replace),
            (SWITCHOVER, Self::switchover),
        ] {
            if let Some(asked) = self.observed.environment.annotations().get(annotation) {
                return Acting::step(judge(self, asked));
            }
        }
        self.scale_down().unwrap_or_default()
    }
}
