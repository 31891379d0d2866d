//! What `/metrics` says, as numbers.

use anyhow::{Context, Result};

/// A page of metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape(String);

impl Scrape {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The value of a metric that has no labels.
    pub(crate) fn value(&self, name: &str) -> Result<f64> {
        let mut lines = self.0.lines().filter_map(|line| line.split_once(' '));
        let (_, value) =
            lines.find(|(key, _)| *key == name).with_context(|| format!("no metric {name}"))?;
        Ok(value.parse()?)
    }

    /// A histogram.
    pub(crate) fn histogram(&self, name: &str) -> Result<Histogram> {
        let prefix = format!("{name}_bucket{{le=\"");
        let mut buckets = Vec::new();
        for line in self.0.lines() {
            let Some(rest) = line.strip_prefix(&prefix) else { continue };
            let (edge, count) = rest.split_once("\"} ").context("a bucket has a count")?;
            // What stands behind the count is an exemplar.
            let count = count.split_whitespace().next().unwrap_or_default();
            let edge = if edge == "+Inf" { f64::INFINITY } else { edge.parse()? };
            buckets.push(Bucket { edge, count: count.parse()? });
        }
        let sum = self.value(&format!("{name}_sum"))?;
        Ok(Histogram { buckets, sum })
    }
}

/// Observations up to an edge, smaller edges included.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    edge: f64,
    count: f64,
}

/// Counts by upper edges, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    buckets: Vec<Bucket>,
    sum: f64,
}

/// A quantile, and what is certain of it: it lies between two edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantile {
    pub(crate) lower: f64,
    /// On the straight line between the edges.
    pub(crate) between: f64,
    pub(crate) upper: f64,
}

impl Histogram {
    /// What was observed since another one was taken.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let counts = self.buckets.iter().zip(&before.buckets);
        let bucket = |(now, then): (&Bucket, &Bucket)| Bucket {
            edge: now.edge,
            count: now.count - then.count,
        };
        Self { buckets: counts.map(bucket).collect(), sum: self.sum - before.sum }
    }

    /// Both together.
    pub(crate) fn and(&self, other: &Self) -> Self {
        if self.buckets.is_empty() {
            return other.clone();
        }
        let counts = self.buckets.iter().zip(&other.buckets);
        let bucket = |(one, two): (&Bucket, &Bucket)| Bucket {
            edge: one.edge,
            count: one.count + two.count,
        };
        Self { buckets: counts.map(bucket).collect(), sum: self.sum + other.sum }
    }

    pub(crate) fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |bucket| bucket.count)
    }

    /// `None` if nothing was observed.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count() > 0.0).then(|| self.sum / self.count())
    }

    /// The value that a share of the observations did not exceed; `None` if nothing was observed, or
    /// if it lies beyond the last edge.
    pub(crate) fn quantile(&self, share: f64) -> Option<Quantile> {
        let wanted = self.count() * share;
        let at = self.buckets.iter().position(|bucket| bucket.count >= wanted && wanted > 0.0)?;
        let Bucket { edge: upper, count } = self.buckets[at];
        let below = at.checked_sub(1).map(|before| self.buckets[before]);
        let Bucket { edge: lower, count: before } =
            below.unwrap_or(Bucket { edge: 0.0, count: 0.0 });
        let between = lower + (upper - lower) * (wanted - before) / (count - before);
        upper.is_finite().then_some(Quantile { lower, between, upper })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_seconds A.\n# TYPE a_seconds histogram\na_seconds_sum 7.5\n\
        a_seconds_count 10\na_seconds_bucket{le=\"1.0\"} 4\na_seconds_bucket{le=\"2.0\"} 8 # {} 1.5\n\
        a_seconds_bucket{le=\"+Inf\"} 10\n# EOF\n";

    #[test]
    fn a_quantile_lies_between_two_edges() {
        let histogram = Scrape::new(PAGE.to_owned()).histogram("a_seconds").unwrap();
        let p50 = histogram.quantile(0.5).unwrap();
        assert_eq!(p50, Quantile { lower: 1.0, between: 1.25, upper: 2.0 });
        assert_eq!(histogram.quantile(0.2).unwrap().between, 0.5);
        assert_eq!(histogram.quantile(0.9), None, "beyond the last edge");
        assert_eq!(histogram.mean(), Some(0.75));
    }

    #[test]
    fn a_difference_holds_what_came_in_between() {
        let histogram = Scrape::new(PAGE.to_owned()).histogram("a_seconds").unwrap();
        let nothing = histogram.since(&histogram);
        assert_eq!((nothing.count(), nothing.mean(), nothing.quantile(0.5)), (0.0, None, None));
        assert_eq!(nothing.and(&histogram), histogram);
        assert_eq!(Histogram::default().and(&histogram), histogram);
    }
}
