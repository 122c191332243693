//! A summary as a tree in a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::summary::{Api, Condition, Database, JobState, Lifetime, Member, Part, PodState, Summary};
use super::text::{aligned, bytes, counted, minute, number};
use crate::canvas::Canvas;
use crate::duration::{age, short};
use crate::environment::{Copied, Schema, Seed};

/// A line, and what hangs below it.
struct Branch {
    text: String,
    leaves: Vec<String>,
}

impl Branch {
    fn new(title: &str, text: impl Into<String>) -> Self {
        Self {
            text: format!("{title:10}{}", text.into()),
            leaves: Vec::new(),
        }
    }
}

/// The whole picture.
#[must_use]
pub fn draw(summary: &Summary, now: Timestamp, canvas: Canvas) -> String {
    let since = |moment: Option<Timestamp>| {
        moment.map_or_else(String::new, |moment| format!(" for {}", age(moment, now)))
    };
    let mut text = format!(
        "{}  {}  {}{}\n",
        canvas.paint(
            Style::new().bold(),
            &format!("{}/{}", summary.namespace, summary.name)
        ),
        summary.profile.as_deref().unwrap_or("no status yet"),
        canvas.paint(colour(&summary.phase), &summary.phase),
        since(summary.phase_since),
    );
    for line in [Some(summary.message.as_str()), summary.url.as_deref()] {
        if let Some(line) = line.filter(|line| !line.is_empty()) {
            let _ = writeln!(text, "│ {line}");
        }
    }
    let branches = [
        lifetime(&summary.lifetime, summary.created_at, now),
        Some(database(&summary.database, now)),
        Some(seed(&summary.seed, &summary.jobs, now)),
        Some(tables(&summary.tables, &summary.jobs, now)),
        Some(api(&summary.api, now)),
        conditions(summary, now, canvas),
        warnings(summary, now),
        unread(summary),
    ];
    let branches: Vec<Branch> = branches.into_iter().flatten().collect();
    for (index, branch) in branches.iter().enumerate() {
        let is_last = index + 1 == branches.len();
        let (fork, stem) = if is_last {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        let _ = writeln!(text, "{fork} {}", branch.text.trim_end());
        for (index, leaf) in branch.leaves.iter().enumerate() {
            let fork = if index + 1 == branch.leaves.len() {
                "└─"
            } else {
                "├─"
            };
            let _ = writeln!(text, "{stem} {fork} {}", leaf.trim_end());
        }
    }
    text
}

fn colour(phase: &str) -> Style {
    let colour = match phase {
        "Ready" => AnsiColor::Green,
        "Degraded" => AnsiColor::Red,
        "Suspended" | "Asleep" => AnsiColor::Blue,
        _ => AnsiColor::Yellow,
    };
    colour.on_default()
}

fn lifetime(lifetime: &Lifetime, created: Option<Timestamp>, now: Timestamp) -> Option<Branch> {
    let mut said = Vec::new();
    said.extend(created.map(|created| format!("{} old", age(created, now))));
    said.extend(lifetime.expires_at.map(|at| {
        let rest = at.duration_since(now).as_secs();
        let when = if rest > 0 {
            format!("in {}", short(rest))
        } else {
            "now".to_owned()
        };
        format!("expires {when}, at {}", minute(at))
    }));
    let asleep = lifetime
        .asleep_since
        .map(|since| format!("asleep for {}", age(since, now)));
    let sleeps = lifetime
        .sleep_after
        .as_ref()
        .map(|after| format!("sleeps after {after} without a request"));
    said.extend(asleep.or(sleeps));
    (!said.is_empty()).then(|| Branch::new("lifetime", said.join(", ")))
}

fn database(database: &Database, now: Timestamp) -> Branch {
    let mut said = Vec::new();
    said.extend(
        database
            .version
            .as_ref()
            .map(|version| format!("PostgreSQL {version}")),
    );
    said.extend(database.storage.as_ref().map(|storage| storage.size.clone()));
    said.push(format!(
        "{} of {} {} ready",
        database.ready_instances,
        database.instances,
        if database.instances == 1 {
            "instance"
        } else {
            "instances"
        }
    ));
    said.extend(
        database
            .synchronous_standbys
            .map(|standbys| format!("{standbys} synchronous")),
    );
    said.extend(
        database
            .failovers
            .as_ref()
            .filter(|failovers| failovers.count > 0)
            .map(|failovers| {
                let last = failovers
                    .last
                    .map_or_else(String::new, |last| format!(", the last {} ago", age(last, now)));
                format!(
                    "primary changed {}{last}",
                    counted(failovers.count, "time", "times")
                )
            }),
    );
    if !database.pending_restart.is_empty() {
        said.push(format!("restarts for {}", database.pending_restart.join(", ")));
    }
    said.extend(
        database
            .rotation
            .as_ref()
            .map(|rotation| format!("rotating the password: {rotation}")),
    );
    let rows: Vec<Vec<String>> = database
        .members
        .iter()
        .map(|member| row_of_member(member, now))
        .collect();
    Branch {
        leaves: aligned(&rows),
        ..Branch::new("database", said.join(", "))
    }
}

fn row_of_member(member: &Member, now: Timestamp) -> Vec<String> {
    let role = match member.role.as_deref() {
        Some("replica") => "standby",
        Some(role) => role,
        None => "no role",
    };
    let state = if member.pod.phase == "Running" {
        member.state.clone().unwrap_or_else(|| "starting".to_owned())
    } else {
        member.pod.phase.clone()
    };
    let mut replication = Vec::new();
    replication.extend(member.timeline.map(|timeline| format!("timeline {timeline}")));
    replication.extend(member.lag_bytes.map(|lag| format!("{} behind", bytes(lag))));
    if member.synchronous {
        replication.push("commits wait for it".to_owned());
    }
    replication.extend(
        member
            .volume
            .as_ref()
            .filter(|volume| volume.phase != "Bound")
            .map(|volume| format!("volume {} {}", volume.claim, volume.phase)),
    );
    vec![
        member.pod.name.clone(),
        role.to_owned(),
        state,
        replication.join(", "),
        place(&member.pod, now),
    ]
}

fn seed(seed: &Part<Seed>, jobs: &[JobState], now: Timestamp) -> Branch {
    let Some(loaded) = seed.result.as_ref().filter(|_| seed.done) else {
        return unfinished("seed", seed, jobs, now);
    };
    let seconds = loaded.seconds;
    let mut branch = Branch::new(
        "seed",
        format!(
            "{}, {} prices in {seconds:.1} s",
            loaded.source,
            number(loaded.rows)
        ),
    );
    branch
        .leaves
        .extend(loaded.copied.as_ref().map(|copied| copy(copied, now)));
    branch
}

fn copy(copied: &Copied, now: Timestamp) -> String {
    let rows: Vec<String> = copied
        .rows
        .iter()
        .map(|(table, rows)| format!("{} {table}", number(*rows)))
        .collect();
    let mut said = vec![format!("copied {}", rows.join(", "))];
    let at = copied.at.as_ref().and_then(|at| at.parse().ok());
    said.extend(at.map(|at| format!("as of {} ago", age(at, now))));
    said.extend(copied.position.as_ref().map(|position| format!("at {position}")));
    said.extend(
        copied
            .sample
            .map(|sample| format!("{sample} % of the pairs of ports")),
    );
    let masks: Vec<String> = copied
        .masks
        .iter()
        .map(|mask| mask.as_str().map_or_else(|| mask.to_string(), str::to_owned))
        .collect();
    if !masks.is_empty() {
        said.push(format!("masked: {}", masks.join(", ")));
    }
    said.join(", ")
}

fn tables(tables: &Part<Schema>, jobs: &[JobState], now: Timestamp) -> Branch {
    match tables.result.as_ref().filter(|_| tables.done) {
        Some(schema) => {
            let version = schema
                .version
                .map_or_else(|| "?".to_owned(), |version| version.to_string());
            Branch::new("tables", format!("version {version}"))
        }
        None => unfinished("migrate", tables, jobs, now),
    }
}

/// A part that is not done: what it says, since when, and its Jobs.
fn unfinished<T>(component: &str, part: &Part<T>, jobs: &[JobState], now: Timestamp) -> Branch {
    let title = if component == "migrate" {
        "tables"
    } else {
        component
    };
    let said = match (part.reason.as_str(), part.message.as_str()) {
        ("", "") => "nothing is known yet".to_owned(),
        (reason, message) => format!(
            "{reason}{}: {message}",
            part.since
                .map_or_else(String::new, |since| format!(" for {}", age(since, now)))
        ),
    };
    let rows = jobs.iter().filter(|job| job.part == component).map(|job| {
        let started = job
            .started_at
            .map_or_else(String::new, |at| format!("{} ago", age(at, now)));
        vec![job.name.clone(), job.state.to_owned(), started]
    });
    Branch {
        leaves: aligned(&rows.collect::<Vec<_>>()),
        ..Branch::new(title, said)
    }
}

fn api(api: &Api, now: Timestamp) -> Branch {
    let mut said = Vec::new();
    said.extend(api.image.clone());
    said.push(format!(
        "{} of {} {} ready",
        api.ready_replicas,
        api.replicas,
        if api.replicas == 1 { "pod" } else { "pods" }
    ));
    if api.updated_replicas != api.replicas {
        said.push(format!("{} current", api.updated_replicas));
    }
    said.extend(
        api.autoscaling
            .as_ref()
            .map(|range| format!("scales from {} to {}", range.min_replicas, range.max_replicas)),
    );
    let mut branch = Branch::new("api", said.join(", "));
    branch.leaves.extend(
        api.running_image
            .as_ref()
            .map(|image| format!("still runs {image}")),
    );
    branch.leaves.extend(
        api.failed_rollout
            .as_ref()
            .map(|failed| format!("rolled back: {}: {}", failed.reason, failed.message)),
    );
    let rows = api.pods.iter().map(|pod| {
        let state = if pod.ready && pod.phase == "Running" {
            "ready"
        } else {
            pod.phase.as_str()
        };
        vec![pod.name.clone(), state.to_owned(), place(pod, now)]
    });
    branch.leaves.extend(aligned(&rows.collect::<Vec<_>>()));
    branch
}

/// Where a pod runs, since when, and how often it was restarted.
fn place(pod: &PodState, now: Timestamp) -> String {
    let mut said = Vec::new();
    said.extend(pod.node.clone());
    said.extend(pod.started_at.map(|at| age(at, now)));
    if pod.restarts > 0 {
        said.push(counted(pod.restarts.into(), "restart", "restarts"));
    }
    said.join(", ")
}

/// The conditions that are not as they are in an environment that is well, and that nothing above tells.
fn conditions(summary: &Summary, now: Timestamp, canvas: Canvas) -> Option<Branch> {
    let is_told = |condition: &Condition| {
        let expected = match condition.r#type.as_str() {
            // They have branches of their own.
            "Seeded" | "Migrated" => return true,
            "Progressing" | "Contested" | "Expiring" => "False",
            _ => "True",
        };
        condition.status == expected
            // One instance is what was asked for.
            || condition.reason == "SingleInstance"
            || summary.message.ends_with(&condition.message)
    };
    let rows: Vec<Vec<String>> = summary
        .conditions
        .iter()
        .filter(|condition| !is_told(condition))
        .map(|condition| {
            vec![
                condition.r#type.clone(),
                condition.status.clone(),
                condition.reason.clone(),
                condition.since.map_or_else(String::new, |since| age(since, now)),
                condition.message.clone(),
            ]
        })
        .collect();
    let title = canvas.paint(AnsiColor::Yellow.on_default(), "to note");
    (!rows.is_empty()).then(|| Branch {
        text: title,
        leaves: aligned(&rows),
    })
}

fn warnings(summary: &Summary, now: Timestamp) -> Option<Branch> {
    let rows: Vec<Vec<String>> = summary
        .warnings
        .iter()
        .map(|warning| {
            let last = warning
                .last
                .map_or_else(String::new, |last| format!("{} ago", age(last, now)));
            let times = if warning.count > 1 {
                format!("{last}, {}", counted(warning.count.into(), "time", "times"))
            } else {
                last
            };
            vec![
                times,
                warning.object.clone(),
                format!("{}: {}", warning.reason, warning.message),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Branch {
        leaves: aligned(&rows),
        text: "warnings of the last hour".to_owned(),
    })
}

fn unread(summary: &Summary) -> Option<Branch> {
    (!summary.unread.is_empty()).then(|| {
        Branch::new(
            "unread",
            format!("you may not list {}", summary.unread.join(", ")),
        )
    })
}
