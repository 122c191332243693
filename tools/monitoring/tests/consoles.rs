//! The pages of Prometheus' own console, as a real Prometheus makes them of metrics that this process serves.
//!
//! `RATES_TEST_PROMETHEUS` names Debian's program; `cargo xtask test` sets it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use monitoring::RUNGS;

const CONSOLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/monitoring/consoles");

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a command until standard input ends, which it does however this process ends.
const KEEPER: &str = "exec 3<&0; \"$@\" 3<&- & server=$!; cat <&3 >/dev/null; kill -9 $server";

/// What the rules record of two environments, one with a rung at its limit.
const METRICS: &str = r#"
rates:saturation:connections{namespace="team-a",environment="shop"} 0.25
rates:saturation:locks{namespace="team-a",environment="shop"} 1
rates:saturation:fold{namespace="team-a",environment="shop"} 0.95
rates:signal:ratio{rung="connections",signal="batches",namespace="team-a",environment="shop"} 0.25
rates:signal:ratio{rung="locks",signal="waits",namespace="team-a",environment="shop"} 3
rates:signal:ratio{rung="fold",signal="oldest",namespace="team-a",environment="shop"} 0.95
rates:saturation:connections{namespace="team-b",environment="quiet"} 0.01
rates:signal:ratio{rung="connections",signal="batches",namespace="team-b",environment="quiet"} 0.01
"#;

struct Prometheus {
    address: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start() -> Self {
        let program = std::env::var_os("RATES_TEST_PROMETHEUS")
            .expect("RATES_TEST_PROMETHEUS must name the program: cargo xtask test --layer parts sets it");
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("prometheus.yaml");
        fs::write(
            &configuration,
            format!(
                "global: {{scrape_interval: 1s}}\nscrape_configs:\n  \
                 - {{job_name: test, honor_labels: true, static_configs: [{{targets: ['{}']}}]}}\n",
                exposition()
            ),
        )
        .unwrap();
        let address = free_address();
        let process = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--web.console.templates={CONSOLES}"))
            .arg(format!("--web.console.libraries={CONSOLES}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            address: format!("http://{address}"),
            process,
            _folder: folder,
        }
    }

    /// The page with these parameters, once it says this.
    fn page(&self, parameters: &str, says: &str) -> String {
        let url = format!("{}/consoles/ladder.html{parameters}", self.address);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let started = Instant::now();
        loop {
            let page = agent.get(&url).call().map(|mut answer| {
                let text = answer.body_mut().read_to_string().unwrap();
                (answer.status().as_u16(), text)
            });
            match page {
                Ok((200, text)) if text.contains(says) => return text,
                Ok((500, text)) => panic!("{url}: {text}"),
                page => assert!(started.elapsed() < PATIENCE, "{url}: {page:?}"),
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Serves the metrics on a port of loopback; gives the address.
fn exposition() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            // A scrape's head is small and comes at once; whoever has gone needs no answer.
            let _ = stream.read(&mut request);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{METRICS}",
                METRICS.len()
            );
        }
    });
    address
}

/// The row of a rung.
fn row<'a>(page: &'a str, rung: &str) -> &'a str {
    let (_, from) = page.split_once(&format!("<tr id=\"{rung}\"")).unwrap();
    from.split_once("</tr>").unwrap().0
}

#[test]
fn pages_show_every_environment_and_the_ladder_of_one_and_load_nothing() {
    let prometheus = Prometheus::start();

    let all = prometheus.page("", "team-b/quiet");
    assert!(
        all.contains(r#"href="ladder.html?namespace=team-a&amp;environment=shop""#),
        "{all}"
    );
    assert!(
        all.find("team-a/shop") < all.find("team-b/quiet"),
        "the most saturated first"
    );

    let one = prometheus.page("?namespace=team-a&environment=shop", "<b>locks</b>");
    assert!(row(&one, "locks").contains("class=\"first\"") && row(&one, "locks").contains("100 %"));
    assert!(row(&one, "fold").contains("95 %") && !row(&one, "fold").contains("class=\"first\""));
    assert!(row(&one, "connections").contains(r#"<rect width="25.0""#));
    assert!(row(&one, "volume").contains("not watched"));
    assert_eq!(one.matches("<tr id=").count(), 9);

    let quiet = prometheus.page("?namespace=team-b&environment=quiet", "No rung is at its limit");
    assert!(row(&quiet, "connections").contains("1 %"));

    // Neither another environment's values nor markup: the parameters are only looked for.
    let hostile = "?namespace=x&environment=%22%7D%20or%20vector(7)%20%23%3Cb%3E";
    let hostile = prometheus.page(hostile, "No rung is at its limit");
    assert!(!hostile.contains("<b>") && row(&hostile, "locks").contains("not watched"));

    for page in [&all, &one, &quiet] {
        for loads in ["<script", "<link", "src=", "@import", "url("] {
            assert!(!page.contains(loads), "{loads}");
        }
    }
}

/// What a browser makes of the markup: a bar that is not closed would swallow the rungs behind it.
#[test]
fn a_real_browser_shows_nine_rungs_and_a_bar_for_each_that_is_watched() {
    let prometheus = Prometheus::start();
    let page = "?namespace=team-a&environment=shop";
    prometheus.page(page, "<b>locks</b>");
    let page = format!("{}/consoles/ladder.html{page}", prometheus.address);

    let document = client::browser::document(&page).unwrap();
    let rungs: Vec<&str> = document
        .split("<tr id=\"")
        .skip(1)
        .map(|row| row.split_once('"').unwrap().0)
        .collect();
    assert_eq!(rungs, RUNGS, "{document}");
    for rung in RUNGS {
        let watched = ["connections", "locks", "fold"].contains(&rung);
        let row = row(&document, rung);
        assert_eq!(row.matches("<svg").count(), usize::from(watched), "{row}");
        assert_eq!(row.matches("not watched").count(), usize::from(!watched), "{row}");
    }
    assert!(!document.to_lowercase().contains("error"), "{document}");
    client::browser::picture(&page).unwrap();
}
