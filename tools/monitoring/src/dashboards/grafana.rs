//! A dashboard in Grafana's JSON: rows of panels, each with its queries. Positions follow from the order.

use serde_json::{Value, json};

use crate::Expression;

/// Grafana's schema of dashboards that this is; newer versions of Grafana migrate it.
const SCHEMA: u32 = 38;
/// Grafana's grid is so many columns wide.
const COLUMNS: u32 = 24;
const HEIGHT: u32 = 7;

/// Grafana's names of units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// 0 to 1, shown as 0 to 100 %.
    Share,
    Seconds,
    Bytes,
    BytesPerSecond,
    PerSecond,
    Cores,
    Count,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Share => "percentunit",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "Bps",
            Self::PerSecond => "ops",
            Self::Cores => "none",
            Self::Count => "short",
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Lines,
    /// Bars of the present values.
    Bars,
    Number,
}

pub struct Query {
    expression: String,
    legend: &'static str,
    only: Option<&'static str>,
}

pub struct Panel {
    title: &'static str,
    description: &'static str,
    unit: Unit,
    kind: Kind,
    width: u32,
    queries: Vec<Query>,
    limit: Option<f64>,
}

impl Panel {
    pub fn new(title: &'static str, unit: Unit) -> Self {
        Self {
            title,
            description: "",
            unit,
            kind: Kind::Lines,
            width: 8,
            queries: Vec::new(),
            limit: None,
        }
    }

    pub fn says(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub fn width(mut self, columns: u32) -> Self {
        self.width = columns;
        self
    }

    /// Marks where a value is too much.
    pub fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    pub fn query(mut self, legend: &'static str, expression: impl Into<String>) -> Self {
        self.queries.push(Query {
            expression: expression.into(),
            legend,
            only: None,
        });
        self
    }

    /// One that returns nothing where something is not there.
    pub fn query_only(
        mut self,
        only: &'static str,
        legend: &'static str,
        expression: impl Into<String>,
    ) -> Self {
        self.queries.push(Query {
            expression: expression.into(),
            legend,
            only: Some(only),
        });
        self
    }

    fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<Value> = ('A'..='Z')
            .zip(&self.queries)
            .map(|(reference, query)| {
                json!({
                    "datasource": source(), "refId": reference.to_string(),
                    "expr": query.expression, "legendFormat": query.legend,
                    "instant": self.kind != Kind::Lines, "range": self.kind == Kind::Lines,
                })
            })
            .collect();
        let kind = match self.kind {
            Kind::Lines => "timeseries",
            Kind::Bars => "bargauge",
            Kind::Number => "stat",
        };
        let mut defaults = json!({"unit": self.unit.name(), "min": 0});
        if matches!(self.unit, Unit::Share) && self.kind == Kind::Bars {
            defaults["max"] = json!(1);
        }
        if let Some(limit) = self.limit {
            let steps = json!([{"color": "green", "value": null}, {"color": "red", "value": limit}]);
            defaults["thresholds"] = json!({"mode": "absolute", "steps": steps});
            if self.kind == Kind::Lines {
                defaults["custom"] = json!({"thresholdsStyle": {"mode": "line"}});
            }
        }
        let options = match self.kind {
            Kind::Lines => {
                json!({"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}})
            }
            Kind::Bars => {
                json!({"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}})
            }
            Kind::Number => json!({"colorMode": "value", "reduceOptions": {"calcs": ["lastNotNull"]}}),
        };
        json!({
            "id": id, "type": kind, "title": self.title, "description": self.description,
            "datasource": source(), "gridPos": {"x": x, "y": y, "w": self.width, "h": HEIGHT},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options, "targets": targets,
        })
    }
}

pub struct Row {
    title: &'static str,
    panels: Vec<Panel>,
}

impl Row {
    pub fn new(title: &'static str, panels: impl IntoIterator<Item = Panel>) -> Self {
        Self {
            title,
            panels: panels.into_iter().collect(),
        }
    }
}

/// What a person chooses above a dashboard.
#[derive(Clone, Copy)]
pub enum Choice {
    /// Any number of namespaces.
    Namespaces,
    /// One environment of one namespace.
    Environment,
    None,
}

pub struct Dashboard {
    pub uid: &'static str,
    pub title: &'static str,
    pub choice: Choice,
    pub rows: Vec<Row>,
}

impl Dashboard {
    pub fn json(&self) -> Value {
        let mut panels = Vec::new();
        let (mut id, mut y) = (0, 0);
        let mut next = || {
            id += 1;
            id
        };
        for row in &self.rows {
            panels.push(json!({
                "id": next(), "type": "row", "title": row.title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            }));
            y += 1;
            let mut x = 0;
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, y) = (0, y + HEIGHT);
                }
                panels.push(panel.json(next(), x, y));
                x += panel.width;
            }
            y += HEIGHT;
        }
        json!({
            "uid": self.uid, "title": self.title, "tags": ["rates"], "schemaVersion": SCHEMA, "version": 1,
            "editable": true, "graphTooltip": 1, "refresh": "30s", "timezone": "",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": variables(self.choice)},
            "links": [{"type": "dashboards", "title": "Rates", "tags": ["rates"], "asDropdown": false, "keepTime": true}],
            "annotations": {"list": []},
            "panels": panels,
        })
    }

    /// The queries of its panels, with the panels' titles and units.
    #[cfg(test)]
    pub fn units(&self) -> Vec<(&'static str, Unit, String)> {
        let panels = self.rows.iter().flat_map(|row| &row.panels);
        panels
            .flat_map(|panel| {
                let unit_of = |query: &Query| (panel.title, panel.unit, query.expression.clone());
                panel.queries.iter().map(unit_of).collect::<Vec<_>>()
            })
            .collect()
    }

    /// What it asks, with these values for the variables.
    pub fn expressions(&self, namespace: &str, environment: &str) -> Vec<Expression> {
        let replaced = |text: &str| {
            text.replace("$namespace", namespace)
                .replace("$environment", environment)
        };
        self.rows
            .iter()
            .flat_map(|row| &row.panels)
            .flat_map(|panel| panel.queries.iter().map(move |query| (panel, query)))
            .map(|(panel, query)| Expression {
                place: format!("dashboard {}, panel {}", self.title, panel.title),
                text: replaced(&query.expression),
                only: query.only,
            })
            .collect()
    }
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "$datasource"})
}

const NAMESPACES: &str = "label_values(rates_build_info, namespace)";

fn variables(choice: Choice) -> Vec<Value> {
    let mut list = vec![
        json!({"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}),
    ];
    let chosen = |name: &str, query: &str, many: bool| {
        json!({
            "name": name, "label": name, "type": "query", "datasource": source(), "refresh": 2, "sort": 1,
            "definition": query, "query": {"query": query, "refId": name}, "multi": many, "includeAll": many,
        })
    };
    match choice {
        Choice::None => {}
        Choice::Namespaces => list.push(chosen("namespace", NAMESPACES, true)),
        Choice::Environment => {
            list.push(chosen("namespace", NAMESPACES, false));
            let environments = "label_values(rates_build_info{namespace=\"$namespace\"}, environment)";
            list.push(chosen("environment", environments, false));
        }
    }
    list
}
