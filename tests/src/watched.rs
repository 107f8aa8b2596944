//! Who watches a pipeline and is told of its runs: keeps all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pipeline::metrics::{Metric, Statistic, TABLE};
use pipeline::notice::RunEnded;
use pipeline::ports::{Metrics, Notices, PortError};

/// Clones share what they keep.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    noted: Arc<Mutex<BTreeMap<(&'static str, &'static str), u64>>>,
    told: Arc<Mutex<Vec<RunEnded>>>,
}

impl Watched {
    /// What was noted of a metric, for one value of its own dimension (empty where it has none).
    pub fn noted(&self, metric: &Metric, of: &'static str) -> u64 {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).get(&(metric.name, of)).copied().unwrap_or_default()
    }

    /// The same, for all values of its own dimension together.
    pub fn sum(&self, metric: &Metric) -> u64 {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.iter().filter(|((name, _), _)| *name == metric.name).map(|(_, value)| value).sum()
    }

    /// What was told, in order.
    pub fn told(&self) -> Vec<RunEnded> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Metrics for Watched {
    fn note(&self, metric: &Metric, of: &'static str, value: u64) {
        assert!(TABLE.contains(metric), "{} is not in the table", metric.name);
        assert_eq!(metric.by.is_some(), !of.is_empty(), "{} of {of:?}", metric.name);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let so_far = noted.entry((metric.name, of));
        match metric.statistic {
            Statistic::Sum => *so_far.or_default() += value,
            Statistic::Maximum => drop(so_far.and_modify(|known| *known = value.max(*known)).or_insert(value)),
            Statistic::Minimum => drop(so_far.and_modify(|known| *known = value.min(*known)).or_insert(value)),
        }
    }
}

#[async_trait]
impl Notices for Watched {
    async fn run_ended(&self, ended: &RunEnded) -> Result<(), PortError> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(ended.clone());
        Ok(())
    }
}
