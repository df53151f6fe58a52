//! What a workload declares.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::expressions::Expressions;
use super::list::Known;
use super::references::references;
use super::rules::{Annotations, Rules};
use super::source::{SourceKind, Traits};
use crate::gocompat::duration::GoDuration;

/// Annotation of a Deployment: after a restart, what changes within this time is one more.
const PAUSE_PERIOD: &str = "deployment.reloader.stakater.com/pause-period";

/// The Secrets and ConfigMaps that a workload wants to be restarted for.
#[derive(Clone, Debug)]
pub struct Declared {
    secrets: Rules,
    config_maps: Rules,
    /// The shortest time between two restarts.
    pub pause_period: Option<Duration>,
    /// What is wrong with its annotations.
    pub complaints: Vec<String>,
}

impl Declared {
    /// What a workload declares of which nothing was known, alone in the cluster.
    #[cfg(test)]
    pub fn of(annotations: &Annotations, template: &Value, auto_by_default: bool) -> Option<Self> {
        Self::among(&Expressions::default(), "ns", None, annotations, template, auto_by_default)
    }

    /// Of the annotations of a workload and its pod template (`spec.template`), with the compiled expressions of all
    /// workloads, the namespace, and what the workload declared before. `auto_by_default`: it wants to be restarted for
    /// everything that it uses, unless an annotation says whether. `None`: it asks for nothing.
    pub fn among(
        expressions: &Expressions,
        namespace: &str,
        before: Option<&Self>,
        annotations: &Annotations,
        template: &Value,
        auto_by_default: bool,
    ) -> Option<Self> {
        let on_template: Annotations = template
            .pointer("/metadata/annotations")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let referenced = references(template.get("spec").unwrap_or(&Value::Null));
        let mut complaints = vec![];
        let mut rules = |kind: SourceKind| {
            let referenced = referenced.iter().filter(|source| source.kind == kind);
            let referenced: BTreeSet<String> = referenced.map(|source| source.name.clone()).collect();
            let before = before.map(|before| &before.rules(kind).list);
            let known = Known { expressions, namespace, before };
            Rules::of(kind, annotations, &on_template, referenced, auto_by_default, known, &mut complaints)
        };
        let (secrets, config_maps) = (rules(SourceKind::Secret), rules(SourceKind::ConfigMap));
        if secrets.are_empty() && config_maps.are_empty() && complaints.is_empty() {
            return None;
        }
        let pause_period = annotations.get(PAUSE_PERIOD).and_then(|text| match GoDuration::parse(text) {
            Ok(GoDuration(nanos)) if nanos >= 0 => Some(GoDuration(nanos).as_std()),
            _ => {
                let shown = &text[..text.floor_char_boundary(100)];
                complaints.push(format!("annotation {PAUSE_PERIOD}: {shown:?} is not a duration such as 5m"));
                None
            }
        });
        Some(Self { secrets, config_maps, pause_period, complaints })
    }

    /// Whether the workload is restarted when this changes.
    pub fn reload(&self, kind: SourceKind, name: &str, traits: Traits) -> bool {
        self.rules(kind).reload(name, traits)
    }

    /// The names of a kind that may be meant. `None`: any.
    pub fn names(&self, kind: SourceKind) -> Option<impl Iterator<Item = &str>> {
        let rules = self.rules(kind);
        (!rules.has_patterns()).then(|| rules.names())
    }

    /// Whether the workload reads this, or lists it by its name.
    pub fn names_it(&self, kind: SourceKind, name: &str) -> bool {
        self.rules(kind).are_for(name)
    }

    fn rules(&self, kind: SourceKind) -> &Rules {
        match kind {
            SourceKind::Secret => &self.secrets,
            SourceKind::ConfigMap => &self.config_maps,
        }
    }
}

#[cfg(test)]
mod tests;
