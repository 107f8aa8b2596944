//! Which endpoint a method and a path mean.

/// The endpoints.
pub(super) enum Route<'a> {
    Trigger,
    Dataset,
    Log(&'a str),
    Errors(&'a str),
    Jobs,
    Collectors,
    Control(&'a str, &'a str),
    TriggerImmediate,
    GetResult,
    Crawl,
    Introspect(&'a str),
    Unknown,
}

impl<'a> Route<'a> {
    pub(super) fn of(method: &str, path: &'a str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("POST", ["dca", "trigger"]) => Self::Trigger,
            ("GET", ["dca", "dataset"]) => Self::Dataset,
            ("GET", ["dca", "log", id]) => Self::Log(id),
            ("GET", ["dca", "jobs", id, "hp_errors"]) => Self::Errors(id),
            ("GET", ["dca", "collector", "jobs"]) => Self::Jobs,
            ("GET", ["dca", "collectors_list"]) => Self::Collectors,
            ("POST", ["dca", "jobs", id, action @ ("cancel" | "pause" | "resume" | "rerun")]) => {
                Self::Control(id, action)
            }
            ("POST", ["dca", "trigger_immediate"]) => Self::TriggerImmediate,
            ("GET", ["dca", "get_result"]) => Self::GetResult,
            ("POST", ["dca", "crawl"]) => Self::Crawl,
            ("GET", ["_simulator", what]) => Self::Introspect(what),
            _ => Self::Unknown,
        }
    }

    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Trigger => "POST /dca/trigger",
            Self::Dataset => "GET /dca/dataset",
            Self::Log(_) => "GET /dca/log/{id}",
            Self::Errors(_) => "GET /dca/jobs/{id}/hp_errors",
            Self::Jobs => "GET /dca/collector/jobs",
            Self::Collectors => "GET /dca/collectors_list",
            Self::Control(_, "cancel") => "POST /dca/jobs/{id}/cancel",
            Self::Control(_, "pause") => "POST /dca/jobs/{id}/pause",
            Self::Control(_, "resume") => "POST /dca/jobs/{id}/resume",
            Self::Control(..) => "POST /dca/jobs/{id}/rerun",
            Self::TriggerImmediate => "POST /dca/trigger_immediate",
            Self::GetResult => "GET /dca/get_result",
            Self::Crawl => "POST /dca/crawl",
            Self::Introspect(_) => "GET /_simulator",
            Self::Unknown => "other",
        }
    }
}
